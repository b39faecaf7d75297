"""What the plan asks of Stage A, for those that choose among trainings."""

TARGET_GAIN = 0.03  # of accuracy with sound over the base's, by the bound
