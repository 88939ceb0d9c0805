"""One file for each kind of thing that the program itself writes into the manual."""
