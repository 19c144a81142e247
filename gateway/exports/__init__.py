"""Records handed out as files that stand alone: one content, written as CSV, XLSX or PDF, with a code to check it by.

builder ──lines──> spool (canonical JSON lines; code = SHA-256 over them) ──> csv_file | xlsx_file | pdf_file
checking reads any of the three back into the same lines and compares codes
"""
