"""Commands that people type wrongly; what each is told stands in `golden/messages.txt`."""

COMMANDS = [
    # The model and the module exchanged, and several modules at once.
    "se --attn test_resnet --dry-run",
    "se --attn eca --dry-run",
    "se --attn eca --attn ela-l --dry-run",
    "stats se",
    "test_resnet --attn se,eca --dry-run",
    "test_resnet --attn se eca --dry-run",
    "test_resnet --attn se(reduction=8) --dry-run",
    "test_resnet --attn layer4.*=se(reduction=8,bias=true) --dry-run",
    "test_resnet --attn se() --dry-run",
    # Values of options.
    "test_resnet --attn se:reduction=0 --dry-run",
    "test_resnet --attn layer4.*=ca:reduction=-1 --dry-run",
    "test_resnet --attn eca:kernel_size=7.5 --dry-run",
    "test_resnet --attn se:reduction=abc --dry-run",
    "test_resnet --attn se:reductoin=8 --dry-run",
    # Names.
    "Test-ResNet --attn se --dry-run",
    "test_resnet --attn se --placement affter --dry-run",
    # Sites.
    "test_resnet --attn se --where layer1 --dry-run",
    "test_resnet --attn se --stage 3 --stage x --dry-run",
    "test_resnet --attn se --stage 9 --dry-run",
    # Files.
    "test_resnet --attn se --out x.h5",
    "test_resnet --attn se --out x.onnx",
    "test_resnet --attn se --weights nowhere.pt --dry-run",
    "test_resnet --attn se --weights-key model --dry-run",
    "local-dir:nowhere --attn se --dry-run",
    "hub:org/name --attn se --dry-run",
]
