// Pad of the iCE40 without its registers, which is how signfire uses it.
//
// Yosys's own model asks whether CLOCK_ENABLE floats, which a simulator of two levels cannot say.
//
// D_IN_0 = PACKAGE_PIN; the pad drives D_OUT_0 where PIN_TYPE and OUTPUT_ENABLE let it.
//
// Ref: Lattice FPGA-TN-02026, iCE40 Technology Library, SB_IO.
/* verilator lint_off DECLFILENAME */
module SB_IO (
  inout PACKAGE_PIN,
  input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1,
  output D_IN_0, D_IN_1
);
  parameter [5:0] PIN_TYPE = 6'b000000;
  parameter [0:0] PULLUP = 1'b0;
  parameter [0:0] NEG_TRIGGER = 1'b0;
  parameter IO_STANDARD = "SB_LVCMOS";

  if (PIN_TYPE[1:0] != 2'b01) $fatal(1, "SB_IO: only the unregistered input is modelled");
  assign D_IN_0 = PACKAGE_PIN;
  assign D_IN_1 = 1'b0;

  if (PIN_TYPE[5:2] == 4'b0110) assign PACKAGE_PIN = D_OUT_0;
  else if (PIN_TYPE[5:2] == 4'b1010) assign PACKAGE_PIN = OUTPUT_ENABLE ? D_OUT_0 : 1'bz;
  else if (PIN_TYPE[5:4] != 2'b00) $fatal(1, "SB_IO: only the unregistered output is modelled");
endmodule
