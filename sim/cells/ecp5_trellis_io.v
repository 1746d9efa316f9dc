// Pad of the ECP5.
//
// Yosys's own model asks whether T floats, which a simulator of two levels cannot say.
//
// O = B; the pad drives I where DIR says so and T is low.
//
// Ref: nextpnr ecp5/docs/primitives.md, TRELLIS_IO.
/* verilator lint_off DECLFILENAME */
module TRELLIS_IO (
  inout B,
  input I, T,
  output O
);
  parameter DIR = "INPUT";

  assign O = DIR == "OUTPUT" ? 1'b0 : B;
  if (DIR == "OUTPUT" || DIR == "BIDIR") assign B = T ? 1'bz : I;
  else if (DIR != "INPUT") $fatal(1, "TRELLIS_IO: no model of DIR %s", DIR);
endmodule
