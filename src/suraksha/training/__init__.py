"""Train a network: losses, the loop, checkpoints, distillation and quantisation."""

from suraksha.files import keep_matplotlib_out_of_home

keep_matplotlib_out_of_home()  # Lightning imports matplotlib through torchmetrics
