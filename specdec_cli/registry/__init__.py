"""Tables of what there is: methods, models, precisions. Importing them loads no torch."""
