"""What evaluation is made of: measures, scores per group, plots and contact sheets."""
