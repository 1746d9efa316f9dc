// Cells at the edge of a design, as a simulated board has them.
//
// The PLL hands on the bench's core_clock, and tells the bench at which ratio to the oscillator its
// dividers want it. A strap's look-up table reads its constant. One family at a time is defined.

`ifdef ICE40
module SB_PLL40_CORE #(
    parameter FEEDBACK_PATH = "SIMPLE", PLLOUT_SELECT = "GENCLK",
    parameter [3:0] DIVR = 0, parameter [6:0] DIVF = 0, parameter [2:0] DIVQ = 0,
    parameter [2:0] FILTER_RANGE = 0
) (
    input REFERENCECLK, RESETB, BYPASS,
    output PLLOUTGLOBAL, LOCK
);
    assign PLLOUTGLOBAL = board.core_clock;
    assign LOCK = board.locked & RESETB;
    assign board.numerator = DIVF + 1;
    assign board.denominator = (DIVR + 1) << DIVQ;
endmodule

module SB_PLL40_2_PAD #(
    parameter FEEDBACK_PATH = "SIMPLE", PLLOUT_SELECT_PORTB = "GENCLK",
    parameter [3:0] DIVR = 0, parameter [6:0] DIVF = 0, parameter [2:0] DIVQ = 0,
    parameter [2:0] FILTER_RANGE = 0
) (
    input PACKAGEPIN, RESETB, BYPASS,
    output PLLOUTGLOBALA, PLLOUTGLOBALB, LOCK
);
    assign PLLOUTGLOBALA = PACKAGEPIN;
    assign PLLOUTGLOBALB = board.core_clock;
    assign LOCK = board.locked & RESETB;
    assign board.numerator = DIVF + 1;
    assign board.denominator = (DIVR + 1) << DIVQ;
endmodule

module SB_LUT4 #(parameter [15:0] LUT_INIT = 0) (input I0, I1, I2, I3, output O);
    assign O = LUT_INIT[{I3, I2, I1, I0}];
endmodule
`endif

`ifdef ECP5
module EHXPLLL #(
    parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 1, CLKOP_CPHASE = 0, CLKOP_FPHASE = 0,
    parameter CLKOP_ENABLE = "ENABLED", FEEDBK_PATH = "CLKOP", PLLRST_ENA = "DISABLED",
    parameter INTFB_WAKE = "DISABLED", STDBY_ENABLE = "DISABLED", DPHASE_SOURCE = "DISABLED",
    parameter OUTDIVIDER_MUXA = "DIVA", OUTDIVIDER_MUXB = "DIVB",
    parameter OUTDIVIDER_MUXC = "DIVC", OUTDIVIDER_MUXD = "DIVD"
) (
    input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PLLWAKESYNC, ENCLKOP,
    input PHASEDIR, PHASESTEP, PHASELOADREG,
    output CLKOP, LOCK
);
    assign CLKOP = board.core_clock;
    assign LOCK = board.locked & ~RST;
    assign board.numerator = CLKFB_DIV;
    assign board.denominator = CLKI_DIV;
endmodule

module LUT4 #(parameter [15:0] INIT = 0) (input A, B, C, D, output Z);
    assign Z = INIT[{D, C, B, A}];
endmodule
`endif

`ifdef GOWIN
module rPLL #(
    parameter FCLKIN = "27", DEVICE = "", CLKFB_SEL = "internal",
    parameter DYN_IDIV_SEL = "false", DYN_FBDIV_SEL = "false", DYN_ODIV_SEL = "false",
    parameter IDIV_SEL = 0, FBDIV_SEL = 0, ODIV_SEL = 8
) (
    input CLKIN, CLKFB, RESET, RESET_P,
    input [5:0] FBDSEL, IDSEL, ODSEL, input [3:0] PSDA, DUTYDA, FDLY,
    output CLKOUT, LOCK
);
    assign CLKOUT = board.core_clock;
    assign LOCK = board.locked & ~RESET;
    assign board.numerator = FBDIV_SEL + 1;
    assign board.denominator = IDIV_SEL + 1;
endmodule

module LUT4 #(parameter [15:0] INIT = 0) (input I0, I1, I2, I3, output F);
    assign F = INIT[{I3, I2, I1, I0}];
endmodule
`endif
