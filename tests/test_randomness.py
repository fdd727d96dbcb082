import torch

from molrate.randomness import generators_kept, reseed, seeded


def state():
    return torch.random.get_rng_state()


def test_seeded_numbers_depend_on_the_seed_alone_and_leave_the_generator():
    before = state()
    drawn = []
    for seed in (3, 3, 4):
        torch.rand(5)
        with seeded(seed):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    torch.random.set_rng_state(before)
    with seeded(3):
        expected = torch.rand(4)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(4), expected)
    torch.random.set_rng_state(before)


def test_generators_are_put_back_whatever_happens_in_the_block():
    # Another test may have left the generator where the seed below puts it.
    torch.rand(1)
    before = state()
    try:
        with generators_kept(on_gpu=False):
            reseed(1, torch.device("cpu"))
            assert not torch.equal(state(), before)
            raise RuntimeError
    except RuntimeError:
        pass
    assert torch.equal(state(), before)
