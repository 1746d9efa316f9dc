// Block RAM of the ECP5, of which Yosys ships a black box: what the netlists of signfire use.
//
// INITVAL_xx holds sixteen words of 18 bits, 20 bits apart. Width 36 makes a port of two: port A
// then writes {DIB, DIA}, port B reads {DOB, DOA}; it is the pseudo dual-port mode PDPW16KD, whose
// DO[17:0] is the upper half of the word and leaves through DOB.
//
// Ref: Lattice FPGA-TN-02204; nextpnr ecp5/pack.cc for the pins of PDPW16KD.
/* verilator lint_off DECLFILENAME */
/* verilator lint_off WIDTH */
module DP16KD (
  input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5,
  DIA4, DIA3, DIA2, DIA1, DIA0,
  input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
  DOA4, DOA3, DOA2, DOA1, DOA0,
  input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
  DIB4, DIB3, DIB2, DIB1, DIB0,
  input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
  DOB4, DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC";
  parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000";
  parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
  parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB";
  parameter GSR = "ENABLED";
  parameter [319:0]
  INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0,
  INITVAL_04 = 0, INITVAL_05 = 0, INITVAL_06 = 0, INITVAL_07 = 0,
  INITVAL_08 = 0, INITVAL_09 = 0, INITVAL_0A = 0, INITVAL_0B = 0,
  INITVAL_0C = 0, INITVAL_0D = 0, INITVAL_0E = 0, INITVAL_0F = 0,
  INITVAL_10 = 0, INITVAL_11 = 0, INITVAL_12 = 0, INITVAL_13 = 0,
  INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0,
  INITVAL_18 = 0, INITVAL_19 = 0, INITVAL_1A = 0, INITVAL_1B = 0,
  INITVAL_1C = 0, INITVAL_1D = 0, INITVAL_1E = 0, INITVAL_1F = 0,
  INITVAL_20 = 0, INITVAL_21 = 0, INITVAL_22 = 0, INITVAL_23 = 0,
  INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0,
  INITVAL_28 = 0, INITVAL_29 = 0, INITVAL_2A = 0, INITVAL_2B = 0,
  INITVAL_2C = 0, INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0,
  INITVAL_30 = 0, INITVAL_31 = 0, INITVAL_32 = 0, INITVAL_33 = 0,
  INITVAL_34 = 0, INITVAL_35 = 0, INITVAL_36 = 0, INITVAL_37 = 0,
  INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0,
  INITVAL_3C = 0, INITVAL_3D = 0, INITVAL_3E = 0, INITVAL_3F = 0;

  generate
    if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG")
      $fatal(1, "DP16KD: no model of REGMODE_A %s, REGMODE_B %s", REGMODE_A, REGMODE_B);
    if (CSDECODE_A != "0b000" || CSDECODE_B != "0b000")
      $fatal(1, "DP16KD: no model of CSDECODE_A %s, CSDECODE_B %s", CSDECODE_A, CSDECODE_B);
    if (GSR != "DISABLED" && GSR != "AUTO") $fatal(1, "DP16KD: no model of GSR %s", GSR);
    if (RESETMODE != "SYNC" && (RESETMODE != "ASYNC" || ASYNC_RESET_RELEASE != "ASYNC"))
      $fatal(1, "DP16KD: no model of RESETMODE %s, ASYNC_RESET_RELEASE %s", RESETMODE,
             ASYNC_RESET_RELEASE);
    if (!known(DATA_WIDTH_A) || !known(DATA_WIDTH_B))
      $fatal(1, "DP16KD: no model of DATA_WIDTH_A %0d, DATA_WIDTH_B %0d", DATA_WIDTH_A,
             DATA_WIDTH_B);
    if (write_mode(WRITEMODE_A) > 2 || write_mode(WRITEMODE_B) > 2)
      $fatal(1, "DP16KD: no model of WRITEMODE_A %s, WRITEMODE_B %s", WRITEMODE_A, WRITEMODE_B);
    if (CLKAMUX != "CLKA" || CLKBMUX != "CLKB")
      $fatal(1, "DP16KD: no model of CLKAMUX %s, CLKBMUX %s", CLKAMUX, CLKBMUX);
  endgenerate

  function automatic known(input integer width);
    known = width == 1 || width == 2 || width == 4 || width == 9 || width == 18 || width == 36;
  endfunction

  function automatic integer write_mode(input [15*8-1:0] name);
    if (name == "NORMAL") write_mode = 0;
    else if (name == "WRITETHROUGH") write_mode = 1;
    else if (name == "READBEFOREWRITE") write_mode = 2;
    else write_mode = 3;
  endfunction

  localparam [64*320-1:0] ROWS = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
    INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
    INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
    INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
    INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
    INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
    INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
  };
  function automatic [1024*18-1:0] packed_rows(input [64*320-1:0] rows);
    integer i;
    for (i = 0; i < 1024; i = i + 1) packed_rows[i*18+:18] = rows[i*20+:18];
  endfunction

  wire chosen_a = ~(CSA0 | CSA1 | CSA2);
  wire chosen_b = ~(CSB0 | CSB1 | CSB2);
  wire [17:0] dia = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7,
  DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
  wire [17:0] dib = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7,
  DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};
  wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2,
  ADA1, ADA0};
  wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2,
  ADB1, ADB0};
  wire [35:0] out_a, out_b;
  signfire_block_ram #(
    .BYTE(9),
    .WIDTH_A(DATA_WIDTH_A),
    .WIDTH_B(DATA_WIDTH_B),
    .WRITE_MODE_A(write_mode(WRITEMODE_A)),
    .WRITE_MODE_B(write_mode(WRITEMODE_B)),
    .ASYNC_RESET(RESETMODE == "ASYNC"),
    .INIT(packed_rows(ROWS))
  ) ram (
    .CLKA(CLKA), .CEA(CEA & chosen_a), .WEA(WEA), .RSTA(RSTA), .ADA(ada),
    .DIA(DATA_WIDTH_A == 36 ? {dib, dia} : {18'b0, dia}), .DOA(out_a),
    .CLKB(CLKB), .CEB(CEB & chosen_b), .WEB(WEB), .RSTB(RSTB), .ADB(adb),
    .DIB({18'b0, dib}), .DOB(out_b)
  );
  generate
    if (DATA_WIDTH_B == 36) begin
      assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6,
      DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} = out_b[17:0];
      assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6,
      DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} = out_b[35:18];
    end else begin
      assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6,
      DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} = DATA_WIDTH_A == 36 ? 18'b0 : out_a[17:0];
      assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6,
      DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} = out_b[17:0];
    end
    if (DATA_WIDTH_A == 36 || DATA_WIDTH_B == 36)
      always @(posedge CLKB) if (CEB & WEB)
        $fatal(1, "DP16KD: port B writes in a mode of width 36");
  endgenerate
endmodule
