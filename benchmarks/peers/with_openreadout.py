"""OpenReadout, from its Python interface. It makes 5-D chunks of one slice, and levels that halve y and x only."""

import common

if __name__ == "__main__":
    args = common.arguments()
    import openreadout

    with openreadout.File(args.source) as file:
        report = file.export(
            args.out, to="ome-zarr", pyramid="mean", levels=args.levels, chunk=args.chunk, compression="none"
        )
    if not report["verified"]:
        raise SystemExit("OpenReadout did not verify what it wrote")
