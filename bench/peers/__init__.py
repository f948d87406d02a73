"""Peers on the same work: anomalib's PatchCore and PaDiM, and nearest neighbours."""
