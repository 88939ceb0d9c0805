"""Texts that do harm where they are shown as they are."""

NASTY = (
    "\x1b[2J\x1b]0;title\x07", "\x9b31m", "a\rb", "a\nb", "a\tb", "\x00", "\u202eevil", "\u2028", "\x7f",
    "\x85",
    "=1+1", "=cmd|' /C calc'!A0", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "+=1", "-A1*2",
    "<script>alert(1)</script>", "</script><script>x", "<img src=x onerror=alert(1)>", "&lt;", "\"'>", "<!--",
    "[x](javascript:alert(1))", "![x](http://example.com/x.png)", "a|b", "`code`", "**b**", "\\",
    "${alert(1)}",
    "`${alert(1)}`", "'); alert(1); ('", "/*DATA*/", "*.conv[12]",
)  # fmt: skip
