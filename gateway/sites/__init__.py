"""Site files taken anew from a page: checked, compared, put in force whole or not at all, and brought back."""
