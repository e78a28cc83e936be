"""Networks: what there is, how it is loaded, kept warm and run. The only folder that imports torch."""
