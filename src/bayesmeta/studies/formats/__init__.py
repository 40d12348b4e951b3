"""Files of other programs to one table of texts with addresses: workbooks, RevMan, Cochrane data packages."""
