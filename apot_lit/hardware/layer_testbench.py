"""The testbench that runs a whole layer on the codes of real digits, and compares every value that it gives."""

from apot_lit.hardware.layer_units import Layer

TOP = "layer_testbench"
WEIGHTS, PARAMETERS, INPUTS, RESULTS = "weights.mem", "channels.mem", "inputs.mem", "results.mem"

_TEXT = """\
// Layer {name}: {outputs} channels of {out_height} x {out_width} from {channels} of {height} x {width}, {images}
// digits.
// Every clock feeds the dot product {lanes} weights and activations; after {chunks} clocks its sum is an output's.
module {top};
    reg [{weight_high}:0] weight_rows [0:{weight_rows}-1];   // [output channel][clock]: weights of all lanes
    reg [{channel_high}:0] channel_rows [0:{outputs}-1];   // [output channel]: {parameters}
    reg [{input_high}:0] inputs [0:{input_count}-1];   // [image][channel][row][column]
    reg [{result_high}:0] results [0:{result_count}-1];   // the same, what must come out

    reg clock, clear;
    reg [{weight_high}:0] weights;
    reg [{activations_high}:0] activations;
    reg [{channel_high}:0] parameters;
    wire signed [{sum_high}:0] sum;
    wire [{result_high}:0] result;
    {dot} dot (.clock(clock), .clear(clear), .weights(weights), .activations(activations), .sum(sum));
    {behind} behind (.value(sum), {wired}, .{result}(result));

    integer image, channel, row, column, chunk, lane, place, inner, y, x, at, compared, different;
    initial begin
        $readmemh("{weights_file}", weight_rows);
        $readmemh("{parameters_file}", channel_rows);
        $readmemh("{inputs_file}", inputs);
        $readmemh("{results_file}", results);
        clock = 0;
        compared = 0;
        different = 0;
        for (image = 0; image < {images}; image = image + 1)
        for (channel = 0; channel < {outputs}; channel = channel + 1)
        for (row = 0; row < {out_height}; row = row + 1)
        for (column = 0; column < {out_width}; column = column + 1) begin
            clear = 1;
            #1 clock = 1; #1 clock = 0;
            clear = 0;
            for (chunk = 0; chunk < {chunks}; chunk = chunk + 1) begin
                weights = weight_rows[channel * {chunks} + chunk];
                activations = 0;
                for (lane = 0; lane < {lanes}; lane = lane + 1) begin
                    place = chunk * {lanes} + lane;
                    inner = place % {kernel};
                    y = row * {stride_y} + (inner / {kernel_x}) * {dilation_y} - {padding_y};
                    x = column * {stride_x} + (inner % {kernel_x}) * {dilation_x} - {padding_x};
                    if (place < {fan_in} && y >= 0 && y < {height} && x >= 0 && x < {width}) begin
                        at = channel / {group_outputs} * {group_channels} + place / {kernel};
                        at = ((image * {channels} + at) * {height} + y) * {width} + x;
                        activations[lane * {input_bits} +: {input_bits}] = inputs[at];
                    end
                end
                #1 clock = 1; #1 clock = 0;
            end
            parameters = channel_rows[channel];
            #1;
            at = ((image * {outputs} + channel) * {out_height} + row) * {out_width} + column;
            compared = compared + 1;
            if (result !== results[at]) begin
                if (different == 0)
                    $display("image %0d, channel %0d, row %0d, column %0d: %0d, not %0d",
                             image, channel, row, column, result, results[at]);
                different = different + 1;
            end
        end
        $display("{top}: %0d compared, %0d different", compared, different);
    end
endmodule
"""


def layer_testbench(layer: Layer, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> str:
    """The testbench of a layer.

    Args:
        layer: the layer.
        input_shape: ``[N, C, H, W]`` of the codes that it reads.
        output_shape: the same of what it gives.
    """
    sums = layer.sums
    weight, activation = layer.multiplication.operands()
    images, channels, height, width = input_shape
    _, outputs, out_height, out_width = output_shape
    kernel_y, kernel_x = sums.weight.shape[2:]
    (result,) = layer.behind.outputs
    result_bits = next(wire.value.width for wire in layer.behind.wires if wire.name == result)
    wired, low = [], 0
    for name, bits in reversed(layer.parameters):
        wired.append(f".{name}(parameters[{low + bits - 1}:{low}])")
        low += bits
    return _TEXT.format(
        top=TOP,
        name=layer.name,
        images=images,
        channels=channels,
        height=height,
        width=width,
        outputs=outputs,
        out_height=out_height,
        out_width=out_width,
        lanes=layer.lanes,
        chunks=layer.chunks,
        fan_in=layer.fan_in,
        kernel=kernel_y * kernel_x,
        kernel_x=kernel_x,
        stride_y=sums.stride[0],
        stride_x=sums.stride[1],
        padding_y=sums.padding[0],
        padding_x=sums.padding[1],
        dilation_y=sums.dilation[0],
        dilation_x=sums.dilation[1],
        group_outputs=outputs // sums.groups,
        group_channels=channels // sums.groups,
        weight_high=layer.lanes * weight.width - 1,
        weight_rows=outputs * layer.chunks,
        channel_high=low - 1,
        parameters=", ".join(name for name, _ in layer.parameters),
        input_bits=activation.width,
        input_high=activation.width - 1,
        input_count=images * channels * height * width,
        activations_high=layer.lanes * activation.width - 1,
        result=result,
        result_high=result_bits - 1,
        result_count=images * outputs * out_height * out_width,
        sum_high=layer.width - 1,
        dot=layer.dot.name,
        behind=layer.behind.name,
        wired=", ".join(reversed(wired)),
        weights_file=WEIGHTS,
        parameters_file=PARAMETERS,
        inputs_file=INPUTS,
        results_file=RESULTS,
    )
