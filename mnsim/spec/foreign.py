"""Words of PyTorch, Keras, TensorFlow Lite, ONNX and Caffe that mnsim does not have, and what to write
instead.

Looked up without case, hyphens and underscores, and only to compose an error.
"""

from collections.abc import Collection, Mapping

from mnsim.hints import fold
from mnsim.operators.table import ACTIVATIONS, RULES

_OPERATORS: Mapping[str, str] = {
    "conv": (
        "conv2d convolution convolution2d convolutional qlinearconv convinteger quantconv2d conv1x1 conv3x3 convbn convbnrelu convrelu"
    ),
    "depthwise": "depthwiseconv depthwiseconv2d depthwiseconvolution depthwiseconvolution2d dwconv convdw dw",
    "separable": (
        "separableconv separableconv2d sepconv sepconv2d dsconv depthwiseseparable depthwiseseparableconv separableconvolution2d"
    ),
    "dense": "linear gemm matmul fc fullyconnected innerproduct affine qlinearmatmul matmulinteger addmm batchmatmul",
    "max_pool": "maxpool2d maxpooling maxpooling2d maxpool2",
    "avg_pool": ("avgpool2d avgpooling averagepool averagepool2d averagepooling averagepooling2d meanpool meanpooling qlinearaveragepool"),
    "global_avg_pool": (
        "globalaveragepool globalaveragepooling globalaveragepooling2d globalavgpool2d globalavgpooling gap "
        "adaptiveavgpool adaptiveavgpool2d reducemean mean avgpoolglobal"
    ),
    "global_max_pool": ("globalmaxpool2d globalmaxpooling globalmaxpooling2d gmp adaptivemaxpool adaptivemaxpool2d reducemax"),
    "batch_norm": "bn batchnorm2d batchnormalization batchnormalisation fusedbatchnorm fusedbatchnormv3 syncbatchnorm",
    "relu": "rectifier rectifiedlinear rectifiedlinearunit",
    "sigmoid": "logistic",
    "hard_swish": "hswish",
    "softmax": "softmax2d",
    "add": "sum addn addv2 addition plus eltwise elementwise elementwiseadd residual shortcut skip qlinearadd",
    "concat": "concatenate concatenation concatv2 cat join depthconcat filterconcat qlinearconcat route",
    "dropout": (
        "dropout1d dropout2d dropout3d spatialdropout spatialdropout2d alphadropout featurealphadropout "
        "gaussiandropout gaussiannoise dropblock droppath stochasticdepth"
    ),
    "identity": "noop passthrough stopgradient activityregularization",
}
_OTHERS = f"mnsim's activations are {', '.join(ACTIVATIONS)}: one of them in its place has the same shapes"
_NORM = "mnsim's only normalisation is batch_norm: in its place it has the same shapes, and costs 2 operations an element"
_LARGER = "mnsim has no operator that makes a map larger: end the network above it, and make what is behind it a network of its own"
_WITHOUT: Mapping[str, str] = {
    (
        "upsample upsampling upsampling2d upsamplingnearest2d upsamplingbilinear2d resize resizebilinear "
        "resizenearest resizenearestneighbor interpolate interpolation unpool unpooling maxunpool maxunpool2d "
        "pixelshuffle depthtospace batchtospace"
    ): _LARGER,
    (
        "convtranspose convtranspose2d conv2dtranspose transposeconv transposeconv2d transposedconv "
        "transposedconv2d transposedconvolution deconv deconv2d deconvolution fractionallystridedconv "
        "convolutiontranspose"
    ): _LARGER,
    (
        "gelu elu selu celu silu swish leakyrelu prelu rrelu crelu relu1 relun1to1 reluN "
        "thresholdedrelu hardsigmoid logsigmoid tanh hardtanh mish softplus softsign softshrink "
        "hardshrink tanhshrink clip clamp exp sqrt abs pow log neg erf square rsqrt glu"
    ): _OTHERS,
    (
        "layernorm layernormalization groupnorm groupnormalization instancenorm instancenorm2d "
        "instancenormalization rmsnorm lrn localresponsenorm localresponsenormalization lpnorm l2norm "
        "l2normalization normalize normalization norm"
    ): _NORM,
    "mul multiply multiplication sub subtract subtraction div divide maximum minimum max min": (
        "mnsim's only sum or product of layers is add: in its place it has the same shapes"
    ),
    "logsoftmax softmin sparsemax": "write softmax: it has the same shapes",
    (
        "lstm gru rnn simplernn embedding attention multiheadattention selfattention transformer transformerencoder"
        " einsum bidirectional convlstm2d lstmcell"
    ): ("mnsim is for convolutional networks: it has no recurrent layers, no embeddings and no attention"),
    "conv1d maxpool1d maxpooling1d avgpool1d averagepooling1d conv3d maxpool3d avgpool3d": (
        "maps are height x width x channels: write one of one dimension as a map of height 1, {conv: 32, kernel: "
        "[1, 3]}; there is none of three"
    ),
    "dilatedconv atrousconv dilatedconv2d atrousconv2d dilation": (
        "mnsim has no dilation: a convolution without it has the same MACs where its output has the same size"
    ),
    "transpose permute swapaxes nchwtonhwc nhwctonchw": (
        "maps are height, width, channels everywhere: leave it out where it is between two layouts"
    ),
    "reshape view squeeze unsqueeze expanddims unflatten": (
        "write flatten where it makes one row of a map; leave it out where no byte moves"
    ),
    ("pad zeropad zeropad2d zeropadding zeropadding2d padv2 mirrorpad reflectionpad2d replicationpad2d constantpad2d"): (
        "write it on the layer that reads the padded map: {conv: 8, kernel: 3, padding: [1, 1, 1, 1]} (top, bottom, left, right)"
    ),
    "crop cropping cropping2d slice stridedslice split splitv chunk gather narrow": (
        "mnsim has no operator that takes a part of a map: a convolution that reads its channels in parts has `groups`"
    ),
    "channelshuffle shuffle shufflechannel shufflechannels spacetodepth pixelunshuffle reorg spacetobatch": (
        "mnsim has no operator that reorders a map: leave it out, if what it costs does not matter"
    ),
    (
        "constant const constantofshape shape cast quantize dequantize quantizelinear dequantizelinear quantstub dequantstub fakequant"
    ): "it is no layer of its own here: leave it out; --dtype says what the numbers are",
    "inputlayer placeholder inputs": "the input's shape stands above the layers: input: [224, 224, 3]",
    "output outputs result": "layers that no other one reads are the outputs: leave it out",
    "argmax argmin topk nonmaxsuppression nms detectionpostprocess": ("mnsim has no operator that picks results: leave it out"),
    "lppool lppool2d minpool minpool2d stochasticpool fractionalmaxpool2d adaptivepool roipool roialign maxout": (
        "mnsim's poolings are max_pool, avg_pool, global_max_pool and global_avg_pool"
    ),
    (
        "bottleneck inception residualblock resblock basicblock block sequential mbconv invertedresidual fire densenetblock stage module"
    ): "write its layers, which {repeat: 2, layers: [...]} repeats",
    "squeezeexcitation squeezeexcite seblock se": (
        "mnsim has no product of a map and a row of numbers: leave it out, or write its two dense layers"
    ),
    "activation act": "write the activation, such as relu, as a layer or as {conv: 8, kernel: 3, activation: relu}",
    "bias biasadd addbias scale": "write it on the convolution: {conv: 8, kernel: 3, bias: true}",
}

_KEYS: Mapping[str, str] = {
    "kernel": "kernelsize kernelshape ksize filtersize kernels filtershape window windowsize poolsize k",
    "stride": "strides step steps subsample s",
    "padding": "pad pads padmode autopad paddingmode p",
    "groups": "group ngroups numgroups g cardinality",
    "bias": "usebias withbias hasbias biasterm",
    "batch_norm": "bn usebn withbn norm normalization batchnorm2d batchnormalization",
    "activation": "act activationfunction activationfn nonlinearity actfn",
    "multiplier": "depthmultiplier channelmultiplier",
    "input": "inputs inputshape inputsize from bottom parent imagesize",
    "repeat": "repeats times count",
    "name": "id label",
    "internal_memory": "sram scratchpad onchipmemory onchip cache spad localmemory globalbuffer",
    "external_memory": "dram ddr offchipmemory offchip mainmemory",
    "matrix_unit": "matrix pe pearray macarray systolicarray tensorcore macunit",
    "vector_unit": "vector simd vpu vectorengine",
    "bandwidth": "bw speed datarate rate",
    "capacity": "size bytes cap",
    "throughput": "flops gflops tflops ops gops tops performance peak peakflops",
    "launch_overhead": "overhead launchtime startuptime",
}
_KEYS_WITHOUT: Mapping[str, str] = {
    "outchannels filters numfilters nfilters outputchannels channels units outfeatures features numoutput nout": (
        "the number of outputs is the operator's value: {conv: 32, kernel: 3}"
    ),
    "inchannels infeatures inputchannels nin cin": "it is that of the layer that is read: leave it out",
    "dilation dilations dilationrate": (
        "mnsim has no dilation: a convolution without it has the same MACs where its output has the same size"
    ),
    "batch batchsize": "mnsim runs one image at a time: leave it out",
    "dataformat layout dataorder": "maps are height, width, channels everywhere: leave it out",
    "ceilmode": "sizes are rounded down: leave it out, or pad one row and column more",
    "countincludepad": "an average leaves padding out: leave it out",
    (
        "inplace momentum eps epsilon affine trackrunningstats axis trainable training droprate kernelinitializer "
        "biasinitializer kernelregularizer"
    ): "it does not change what inference costs: leave it out",
    "type op optype operator kind class": "an operator is a key of its own: {conv: 32, kernel: 3}",
    "frequency clock freq mhz cycletime": "mnsim counts no cycles: write the throughput, 2 * MACs a cycle * clock",
}


def operator_instead(word: str) -> str:
    """What to write for another framework's operator; '' for an unknown word."""
    own = next((kind for kind in RULES if fold(kind) == fold(word)), "")
    meant = own or _meant(word, _OPERATORS)
    if meant in ("dropout", "identity"):
        return f"did you mean '{meant}'? It is taken out when the network is read"
    return f"did you mean '{meant}'?" if meant else _advice(word, _WITHOUT)


def key_instead(word: str, siblings: Collection[str]) -> str:
    """What to write for another framework's key where these siblings may stand; '' for an unknown word."""
    meant = _meant(word, _KEYS)
    if meant:
        return f"did you mean '{meant}'?" if meant in siblings else ""
    return _advice(word, _KEYS_WITHOUT)


def foreign_words() -> tuple[list[str], list[str]]:
    """All operators and keys of other frameworks that mnsim does not have."""
    own = {fold(kind) for kind in RULES}
    operators = [word for words in (*_OPERATORS.values(), *_WITHOUT) for word in words.split() if fold(word) not in own]
    return operators, [word for words in (*_KEYS.values(), *_KEYS_WITHOUT) for word in words.split()]


def _meant(word: str, table: Mapping[str, str]) -> str:
    return next((ours for ours, theirs in table.items() if fold(word) in theirs.split()), "")


def _advice(word: str, table: Mapping[str, str]) -> str:
    return next((advice for theirs, advice in table.items() if fold(word) in theirs.lower().split()), "")
