// Multipliers of Gowin devices, of which Yosys ships black boxes: DOUT = A·B, without registers.
//
// Ref: Gowin UG287, DSP User Guide.
/* verilator lint_off DECLFILENAME */
/* verilator lint_off WIDTH */
module MULT9X9 (
  input [8:0] A, SIA, B, SIB,
  input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
  output [17:0] DOUT,
  output [8:0] SOA, SOB
);
  parameter AREG = 1'b0, BREG = 1'b0, OUT_REG = 1'b0, PIPE_REG = 1'b0;
  parameter ASIGN_REG = 1'b0, BSIGN_REG = 1'b0, SOA_REG = 1'b0;
  parameter MULT_RESET_MODE = "SYNC";

  generate
    if (AREG | BREG | OUT_REG | PIPE_REG | ASIGN_REG | BSIGN_REG | SOA_REG)
      $fatal(1, "MULT9X9: no model of its registers");
  endgenerate
  always @* if (ASEL | BSEL) $fatal(1, "MULT9X9: no model of its shift chain");

  wire signed [17:0] wide_a = {{9{ASIGN & A[8]}}, A};
  wire signed [17:0] wide_b = {{9{BSIGN & B[8]}}, B};
  assign DOUT = wide_a * wide_b;
  assign SOA = 0;
  assign SOB = 0;
endmodule

module MULT18X18 (
  input [17:0] A, SIA, B, SIB,
  input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
  output [35:0] DOUT,
  output [17:0] SOA, SOB
);
  parameter AREG = 1'b0, BREG = 1'b0, OUT_REG = 1'b0, PIPE_REG = 1'b0;
  parameter ASIGN_REG = 1'b0, BSIGN_REG = 1'b0, SOA_REG = 1'b0;
  parameter MULT_RESET_MODE = "SYNC";

  generate
    if (AREG | BREG | OUT_REG | PIPE_REG | ASIGN_REG | BSIGN_REG | SOA_REG)
      $fatal(1, "MULT18X18: no model of its registers");
  endgenerate
  always @* if (ASEL | BSEL) $fatal(1, "MULT18X18: no model of its shift chain");

  wire signed [35:0] wide_a = {{18{ASIGN & A[17]}}, A};
  wire signed [35:0] wide_b = {{18{BSIGN & B[17]}}, B};
  assign DOUT = wide_a * wide_b;
  assign SOA = 0;
  assign SOB = 0;
endmodule

module MULT36X36 (
  input [35:0] A, B,
  input ASIGN, BSIGN, CE, CLK, RESET,
  output [71:0] DOUT
);
  parameter AREG = 1'b0, BREG = 1'b0, OUT0_REG = 1'b0, OUT1_REG = 1'b0, PIPE_REG = 1'b0;
  parameter ASIGN_REG = 1'b0, BSIGN_REG = 1'b0;
  parameter MULT_RESET_MODE = "SYNC";

  generate
    if (AREG | BREG | OUT0_REG | OUT1_REG | PIPE_REG | ASIGN_REG | BSIGN_REG)
      $fatal(1, "MULT36X36: no model of its registers");
  endgenerate

  wire signed [71:0] wide_a = {{36{ASIGN & A[35]}}, A};
  wire signed [71:0] wide_b = {{36{BSIGN & B[35]}}, B};
  assign DOUT = wide_a * wide_b;
endmodule
