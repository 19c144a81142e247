"""User information transmission devices (用户信息传输装置) that report to us by GB/T 26875.3."""
