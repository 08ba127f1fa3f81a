"""What is done to a lead: steps, the buyer, the ledger, the gates. Knows nothing of how work is run (`workers`)."""
