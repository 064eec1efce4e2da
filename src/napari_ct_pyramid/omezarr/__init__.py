"""OME-Zarr, written and read: metadata, chunks, shards and the journal of a conversion. It knows no other format."""
