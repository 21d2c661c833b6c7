"""What test_faults.py kills, as a program: python steps.py STEP FOLDER."""

import sys

import lenssim


def generate(folder):
    lenssim.generate(
        "B",
        ["cdm", "no_sub"],
        train=48,
        test=8,
        out=f"{folder}/B",
        workers=2,
        chunk_size=4,
        shard_size=8,
    )


def export(folder):
    lenssim.export(f"{folder}/B", workers=2)


def publish(folder):
    lenssim.publish(f"{folder}/B", f"{folder}/published")


# each step, after those that it needs, and the archive that it makes
STEPS = {"generate": generate, "export": export, "publish": publish}
MADE = {"generate": "B", "export": "B", "publish": "published/2.0.0"}

if __name__ == "__main__":
    import lenssim.archive.publish
    import lenssim.build.export
    import lenssim.build.run

    print("begins", flush=True)
    STEPS[sys.argv[1]](sys.argv[2])
