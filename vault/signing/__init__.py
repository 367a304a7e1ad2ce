"""Keys that sign: the seam `Signer` and the places where a private key may live. What is signed is others' business."""
