"""The steps of a network of integers in ONNX's own language: functions of the file, made of standard operations.

A model calls them by name, so that it shows the steps as they are; engines put their content in their place. What is
made of constants alone, such as tables, engines compute once, when they open the file.

Every operation is exact. Sums of codes are whole numbers of float32, since onnxruntime convolves integers image by
image, at a tenth of the speed. ``x * M + B`` and its shift are numbers of float64: with less than 53 bits nothing is
rounded, and `Floor` is the arithmetic shift. Codes are looked up in a table over the stream's values, which costs the
same for every set of levels. `GatherElements` does so at 0.5 to 1 ns a value, `Gather` at 7 to 11, and comparisons with
the 31 thresholds of 5 bits take 20 and more (onnxruntime 1.31, one thread of an AMD EPYC).
"""

from onnx import FunctionProto, parser

DOMAIN = "apot_lit"

# M / 2^S and B / 2^S, and the batch norm that multiplies and adds in one pass; mean 0 and variance 1 leave it at that.
_SCALED = """
    one = Constant<value: tensor = uint64 {1}>()
    places = Cast<to: int = 13>(shift)
    power = BitShift<direction: string = "LEFT">(one, places)
    divisor = Cast<to: int = 11>(power)
    numerator = Cast<to: int = 11>(multiplier)
    factor = Div(numerator, divisor)
    addend = Cast<to: int = 11>(bias)
    offset = Div(addend, divisor)
    mean = Sub(factor, factor)
    variance = Div(divisor, divisor)
    wide = Cast<to: int = 11>(x)
    exact = BatchNormalization<epsilon: float = 0.0>(wide, factor, offset, mean, variance)
"""

# Codes of the stream's values 0 to the last threshold; what is beyond has the code of these ends.
_TABLE = """
    zero = Constant<value: tensor = int32 {0}>()
    step = Constant<value: tensor = int32 {1}>()
    last = ReduceMax<keepdims: int = 0>(thresholds)
    end = Add(last, step)
    positions = Range(zero, end, step)
    columns = Constant<value: tensor = int64[1] {1}>()
    column = Unsqueeze(positions, columns)
    reached = GreaterOrEqual(column, thresholds)
    counted = Cast<to: int = 6>(reached)
    count = ReduceSum<keepdims: int = 0>(counted, columns)
    values = Cast<to: int = 1>(codes)
    row = Gather(values, count)
    rows = Constant<value: tensor = int64[1] {0}>()
    table = Unsqueeze(row, rows)
"""

_LOOK_UP = """
    index = Cast<to: int = 6>(clipped)
    flat = Flatten<axis: int = 0>(index)
    found = GatherElements<axis: int = 1>(table, flat)
    shape = Constant<value_ints: ints = @shape>()
    y = Reshape(found, shape)
"""

_GEOMETRY = "strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group"

_SATURATED = """
    least = Cast<to: int = 11>(smallest)
    most = Cast<to: int = 11>(largest)
    within = Clip(whole, least, most)
    y = Cast<to: int = 1>(within)
"""

_FORMS = {
    # Weights: codes as they are, or indices of levels, negative ones for negative levels.
    "CodeWeight": "(index) => (weight) { weight = Cast<to: int = 1>(index) }",
    "LevelWeight": """(index, codes) => (weight) {
        place = Cast<to: int = 6>(index)
        magnitude = Abs(place)
        sign = Sign(place)
        level = Gather(codes, magnitude)
        whole = Cast<to: int = 6>(level)
        code = Mul(sign, whole)
        weight = Cast<to: int = 1>(code)
    }""",
    # Sums that float32 does not hold.
    "WideConv": f"""<strides, pads, dilations, group>(x, weight) => (y) {{
        codes = Cast<to: int = 2>(x)
        bytes = Cast<to: int = 3>(weight)
        sums = ConvInteger<{_GEOMETRY}>(codes, bytes)
        y = Cast<to: int = 11>(sums)
    }}""",
    # The same of codes with a sign, which are moved for it: what is beyond the edge is 0 all the same.
    "WideSignedConv": f"""<strides, pads, dilations, group>(x, weight) => (y) {{
        offset = Constant<value: tensor = float {{128}}>()
        moved = Add(x, offset)
        codes = Cast<to: int = 2>(moved)
        zero = Constant<value: tensor = uint8 {{128}}>()
        bytes = Cast<to: int = 3>(weight)
        sums = ConvInteger<{_GEOMETRY}>(codes, bytes, zero)
        y = Cast<to: int = 11>(sums)
    }}""",
    # The sums of weights over the pixels that a window holds, which padding makes depend on the position.
    "Border": f"""<strides, pads, dilations, group>(weight, shape) => (y) {{
        ones = ConstantOfShape<value: tensor = float[1] {{1}}>(shape)
        y = Conv<{_GEOMETRY}>(ones, weight)
    }}""",
    "Centre": """(x, border, multiplier, offset) => (y) {
        sums = CastLike(x, multiplier)
        edges = CastLike(border, multiplier)
        scaled = Mul(sums, multiplier)
        moved = Mul(edges, offset)
        y = Sub(scaled, moved)
    }""",
    "Rescale": f"""(x, multiplier, bias, shift, smallest, largest) => (y) {{
        {_SCALED} whole = Floor(exact) {_SATURATED}
    }}""",
    # B = whole * 2^S + bias, where all of B would leave float64.
    "WideRescale": f"""(x, multiplier, bias, shift, added, smallest, largest) => (y) {{
        {_SCALED}
        down = Floor(exact)
        axes = Constant<value: tensor = int64[2] {{1, 2}}>()
        raised = Unsqueeze(added, axes)
        more = Cast<to: int = 11>(raised)
        whole = Add(down, more)
        {_SATURATED}
    }}""",
    "Threshold": f"""<shape>(x, thresholds, codes) => (y) {{
        {_TABLE}
        least = Cast<to: int = 1>(zero)
        most = Cast<to: int = 1>(last)
        clipped = Clip(x, least, most)
        {_LOOK_UP}
    }}""",
    # Rescale and the Threshold that alone reads it: the cast to an index is its Floor, the ends its saturation.
    "RescaleThreshold": f"""<shape>(x, multiplier, bias, shift, thresholds, codes, largest) => (y) {{
        {_SCALED} {_TABLE}
        bound = Min(last, largest)
        least = Cast<to: int = 11>(zero)
        most = Cast<to: int = 11>(bound)
        clipped = Clip(exact, least, most)
        {_LOOK_UP}
    }}""",
    # Thresholds of each channel: all are compared at once, each for the whole batch.
    "ChannelThreshold": """(x, thresholds, sign, codes) => (y) {
        axes = Constant<value: tensor = int64[2] {1, 2}>()
        each = Unsqueeze(sign, axes)
        signs = CastLike(each, x)
        turned = Mul(x, signs)
        first = Constant<value: tensor = int64[1] {0}>()
        once = Unsqueeze(turned, first)
        rows = Transpose<perm: ints = [1, 0]>(thresholds)
        around = Constant<value: tensor = int64[3] {1, 3, 4}>()
        spread = Unsqueeze(rows, around)
        limits = CastLike(spread, x)
        reached = GreaterOrEqual(once, limits)
        counted = Cast<to: int = 1>(reached)
        values = Cast<to: int = 1>(codes)
        second = Constant<value: tensor = int64[1] {1}>()
        last = Constant<value: tensor = int64[1] {-1}>()
        end = Constant<value: tensor = int64[1] {1000}>()
        upper = Slice(values, second, end)
        lower = Slice(values, first, last)
        gaps = Sub(upper, lower)
        inner = Constant<value: tensor = int64[4] {1, 2, 3, 4}>()
        steps = Unsqueeze(gaps, inner)
        parts = Mul(counted, steps)
        y = ReduceSum<keepdims: int = 0>(parts, first)
    }""",
    "SaturatingAdd": """(a, b, smallest, largest) => (y) {
        sum = Add(a, b)
        least = CastLike(smallest, a)
        most = CastLike(largest, a)
        y = Clip(sum, least, most)
    }""",
    "Clip": """(x, smallest, largest) => (y) {
        least = CastLike(smallest, x)
        most = CastLike(largest, x)
        y = Clip(x, least, most)
    }""",
    # A convolution of each channel with ones.
    "SumWindows": """<strides, pads, channels>(x, shape) => (y) {
        ones = ConstantOfShape<value: tensor = float[1] {1}>(shape)
        y = Conv<strides: ints = @strides, pads: ints = @pads, group: int = @channels>(x, ones)
    }""",
    "SumMap": """(x) => (y) {
        wide = Cast<to: int = 11>(x)
        axes = Constant<value: tensor = int64[2] {2, 3}>()
        y = ReduceSum<keepdims: int = 1>(wide, axes)
    }""",
    "SumPositions": """(x) => (y) {
        wide = Cast<to: int = 11>(x)
        axes = Constant<value: tensor = int64[2] {2, 3}>()
        y = ReduceSum(wide, axes)
    }""",
    "Head": """(x, weight, bias) => (logits) {
        wide = Cast<to: int = 11>(x)
        factors = Cast<to: int = 11>(weight)
        addends = Cast<to: int = 11>(bias)
        sums = Gemm<transB: int = 1>(wide, factors, addends)
        logits = Cast<to: int = 7>(sums)
    }""",
}


def functions(names: set[str], opset: int) -> list[FunctionProto]:
    """The functions of a model.

    Args:
        names: which.
        opset: of the standard operations.
    """
    head = f'<domain: "{DOMAIN}", opset_import: ["" : {opset}]>'
    return [parser.parse_function(f"{head} {name} {form}") for name, form in _FORMS.items() if name in names]
