"""torchrun, which starts a third sooner where no garbage is looked for in what it imports."""

from tasks.garbage import uncollected

if __name__ == "__main__":
    with uncollected():
        from torch.distributed.run import main
    main()
