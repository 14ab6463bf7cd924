"""torchrun without garbage collection during its imports, which makes it start a third sooner."""

from tasks.garbage import uncollected

if __name__ == "__main__":
    with uncollected():
        from torch.distributed.run import main
    main()
