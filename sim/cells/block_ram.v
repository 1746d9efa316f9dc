// Block RAM of 512 words of four bytes, as ECP5 (DP16KD) and Gowin (BSRAM) build it.
//
// Two ports, each of its own width. A byte has BYTE = 9 or 8 bits; a port of 1, 2 or 4 bits sees
// the lower eight of each. AD counts bits at width 1: bits 13:5 choose a word, 4:3 a byte, 2:0 a
// bit; a port ignores what lies below its width, but on a port of 16 bits and more AD[3:0] (or
// AD[1:0]) enables the writing of each byte.
//
// On a rising clock edge with CE: DO = the word (WRITE_MODE 0: DO stays while writing; 1: the new
// word; 2: the old one), and with WE the memory takes DI. A reset clears DO whatever CE is; a
// synchronous one also keeps its port from writing.
//
// What the makers leave open: a port reads what the other is writing. The bits concerned are then
// returned inverted, so that a design that depends on them fails here.
//
// Ref: Lattice FPGA-TN-02204, ECP5 and ECP5-5G Memory User Guide; Gowin UG285, BSRAM & SSRAM.
/* verilator lint_off DECLFILENAME */
/* verilator lint_off WIDTH */
/* verilator lint_off MULTIDRIVEN */
module signfire_block_ram #(
  parameter BYTE = 9,
  parameter WIDTH_A = 36,
  parameter WIDTH_B = 36,
  parameter WRITE_MODE_A = 0,
  parameter WRITE_MODE_B = 0,
  parameter ASYNC_RESET = 0,
  parameter [512*4*BYTE-1:0] INIT = 0
) (
  input CLKA, CEA, WEA, RSTA,
  input [13:0] ADA,
  input [35:0] DIA,
  output reg [35:0] DOA,
  input CLKB, CEB, WEB, RSTB,
  input [13:0] ADB,
  input [35:0] DIB,
  output reg [35:0] DOB
);
  localparam WORD = 4 * BYTE;

  // Lowest bit of a port's place within the word.
  function automatic [5:0] place(input [4:0] address, input integer width);
    case (width)
      1: place = address[4:3] * BYTE + address[2:0];
      2: place = address[4:3] * BYTE + {address[2:1], 1'b0};
      4: place = address[4:3] * BYTE + {address[2], 2'b0};
      8, 9: place = address[4:3] * BYTE;
      16, 18: place = address[4] ? 2 * BYTE : 0;
      default: place = 0;
    endcase
  endfunction

  function automatic [WORD-1:0] ones(input integer width);
    ones = {WORD{1'b1}} >> (WORD - width);
  endfunction

  // Bits of the word that a write changes.
  function automatic [WORD-1:0] mask(input [4:0] address, input integer width);
    reg [WORD-1:0] bytes;
    begin
      bytes = {{BYTE{address[3]}}, {BYTE{address[2]}}, {BYTE{address[1]}}, {BYTE{address[0]}}};
      mask = ones(width) << place(address, width);
      if (width >= 32) mask = bytes;
      else if (width >= 16) mask = (bytes & ones(width)) << place(address, width);
    end
  endfunction

  reg [WORD-1:0] memory[0:511];
  integer i;
  initial begin
    for (i = 0; i < 512; i = i + 1) memory[i] = INIT[i*WORD+:WORD];
    DOA = 0;
    DOB = 0;
  end

  wire write_a = CEA & WEA & (ASYNC_RESET != 0 | ~RSTA);
  wire write_b = CEB & WEB & (ASYNC_RESET != 0 | ~RSTB);
  wire [WORD-1:0] mask_a = write_a ? mask(ADA[4:0], WIDTH_A) : 0;
  wire [WORD-1:0] mask_b = write_b ? mask(ADB[4:0], WIDTH_B) : 0;
  wire [WORD-1:0] data_a = DIA[WORD-1:0] << place(ADA[4:0], WIDTH_A);
  wire [WORD-1:0] data_b = DIB[WORD-1:0] << place(ADB[4:0], WIDTH_B);
  wire same = ADA[13:5] == ADB[13:5];
  wire [WORD-1:0] old_a = memory[ADA[13:5]];
  wire [WORD-1:0] old_b = memory[ADB[13:5]];
  wire [WORD-1:0] new_a = old_a & ~mask_a | data_a & mask_a;
  wire [WORD-1:0] new_b = old_b & ~mask_b | data_b & mask_b;
  wire [WORD-1:0] seen_a = (WRITE_MODE_A == 1 ? new_a : old_a) ^ (same ? mask_b : 0);
  wire [WORD-1:0] seen_b = (WRITE_MODE_B == 1 ? new_b : old_b) ^ (same ? mask_a : 0);
  wire [WORD-1:0] read_a = seen_a >> place(ADA[4:0], WIDTH_A) & ones(WIDTH_A);
  wire [WORD-1:0] read_b = seen_b >> place(ADB[4:0], WIDTH_B) & ones(WIDTH_B);
  wire load_a = CEA & (WRITE_MODE_A != 0 | ~WEA);
  wire load_b = CEB & (WRITE_MODE_B != 0 | ~WEB);

  always @(posedge CLKA) if (write_a) memory[ADA[13:5]] <= new_a;
  always @(posedge CLKB) if (write_b) memory[ADB[13:5]] <= new_b;
  // What is said above of both ports at once holds where they share a clock.
  always @(posedge CLKA) if (write_a & CEB & ~CLKB)
    $fatal(1, "block RAM whose ports have two clocks: no model of that");
  always @(posedge CLKB) if (write_b & CEA & ~CLKA)
    $fatal(1, "block RAM whose ports have two clocks: no model of that");

  generate
    if (ASYNC_RESET) begin
      always @(posedge CLKA or posedge RSTA)
        if (RSTA) DOA <= 0;
        else if (load_a) DOA <= read_a;
      always @(posedge CLKB or posedge RSTB)
        if (RSTB) DOB <= 0;
        else if (load_b) DOB <= read_b;
    end else begin
      always @(posedge CLKA)
        if (RSTA) DOA <= 0;
        else if (load_a) DOA <= read_a;
      always @(posedge CLKB)
        if (RSTB) DOB <= 0;
        else if (load_b) DOB <= read_b;
    end
  endgenerate
endmodule
