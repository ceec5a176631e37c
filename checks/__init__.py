"""Tables and policy to judgements, verdict, report and sign-off."""
