"""What a trained model says of neurons: predictions for any video, receptive fields, tuning."""
