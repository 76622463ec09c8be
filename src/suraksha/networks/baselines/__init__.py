"""The networks that SURAKSHA is compared with."""
