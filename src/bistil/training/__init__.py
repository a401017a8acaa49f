"""Training: trainer, losses, general distillation, transfer, lottery ticket, batches, devices."""
