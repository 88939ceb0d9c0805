"""The attention modules: small layers, one paper per file.

`catalog` names them without importing torch; `contract` says what every module promises.
"""
