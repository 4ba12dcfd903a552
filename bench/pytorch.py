"""PyTorch's side of the benchmark: the same network and the same work, one case per process.

Started as `pytorch.py DEVICE LAYOUT THREADS CASE_AS_JSON`, DEVICE cpu or cuda, LAYOUT one of contiguous_format (PyTorch's
default) and channels_last.
Speaks the protocol of src/contestant.ts. Nothing but the benchmark uses Python.
"""

import json
import sys
import time

import torch
from torch import nn

BLOCKS = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)]
CLASSES = 10


def vgg19(blocks):
    """The convolutional base from picture or block to block, as keras.applications.vgg19 without its top."""
    layers, channels = [], 3
    for number, (filters, convolutions) in enumerate(BLOCKS, start=1):
        for _ in range(convolutions):
            convolution = nn.Conv2d(channels, filters, 3, padding=1)
            nn.init.xavier_uniform_(convolution.weight)
            nn.init.zeros_(convolution.bias)
            if number in blocks:
                layers += [convolution, nn.ReLU(inplace=True)]
            channels = filters
        if number in blocks:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def prepare_gemm(side, layout):
    """A product of two [side, side] matrices, written as a convolution with 1x1 kernels.

    oneDNN, which PyTorch uses for it, knows more processors than the BLAS behind torch.mm: twice as fast on some.
    """
    pixels = torch.rand(1, side, side // 64, 64).to(memory_format=layout)
    kernels = torch.rand(side, side, 1, 1).to(memory_format=layout)
    # One value, so that fetching the others from a GPU is not measured.
    return lambda: nn.functional.conv2d(pixels, kernels)[0, 0, 0, 0].item()


def prepare(case, layout):
    """Returns a function that does the case's work once."""
    batch, work = case["batch"], case["work"]
    if work == "gemm":
        return prepare_gemm(case["size"], layout)

    first = case["firstBlock"]
    frozen = vgg19(range(first, case["firstTrainedBlock"])).to(memory_format=layout)
    trained = vgg19(range(case["firstTrainedBlock"], len(BLOCKS) + 1)).to(memory_format=layout)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(BLOCKS[-1][0], CLASSES))
    side = case["size"] >> (first - 1)
    channels = 3 if first == 1 else BLOCKS[first - 2][0]
    # The range of pictures with the means subtracted; features are non-negative.
    xs = torch.rand(batch, channels, side, side) * 255 - (110 if first == 1 else 0)
    xs = xs.to(memory_format=layout)

    @torch.no_grad()
    def forward():
        features = trained(frozen(xs))
        return (features if work == "features" else head(features)).cpu()

    if work != "step":
        return forward

    labels = torch.arange(batch) % CLASSES
    parameters = [*trained.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=case["learningRate"], momentum=0.9)

    def step():
        with torch.no_grad():
            features = frozen(xs)
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(head(trained(features)), labels)
        loss.backward()
        optimizer.step()
        if not torch.isfinite(loss):
            raise ValueError(f"The loss became {loss.item()}.")

    return step


def peak_bytes():
    """This process's largest resident memory so far. Linux; elsewhere the same number from getrusage."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except FileNotFoundError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def say(message):
    print(json.dumps(message), flush=True)


def main():
    device, layout, threads, case = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    torch.set_default_device(device)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    run = prepare(case, getattr(torch, layout))
    name = f", on {torch.cuda.get_device_name()}" if device == "cuda" else ""
    say({"ready": f"PyTorch {torch.__version__}{name}"})
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        milliseconds = (time.perf_counter() - start) * 1000
        say({"milliseconds": milliseconds, "peakBytes": peak_bytes()})


main()
