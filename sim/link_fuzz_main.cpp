// Free-running harness of the link fuzz: a script of bytes, pauses and stalls into the link, and
// a log of what happened out of it. Verilator compiles it with the model Vlink.
//
// Arguments are key=value:
//   script   uint32 pairs (operation, value), see Op
//   log      written: records of uint64 cycle, uint32 kind, uint32 value, see Kind
//   seed     of the stalls
//   quiet    cycles without a byte to send after which nothing more is expected
//   limit    cycles without progress after which the link has hung
// A hang resets everything, and the script goes on with its next round. Progress goes to stderr, a
// number of rounds a line; stdout gets one line of JSON: cycles, seconds, records, frames, slowest.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "Vlink.h"
#include "verilated.h"

double sc_time_stamp() { return 0; }

namespace {

enum Op : uint32_t {
    BYTE,      // send it
    GAP,       // so many cycles pass
    PACE,      // 0: a byte waits until it is taken; n: as a serial line, one byte in n cycles
    SINK,      // the far end takes a byte with probability value/256 a cycle
    HOLD_IN,   // a word is kept from the core with probability value/256 a cycle
    HOLD_OUT,  // a word of the core is kept back with probability value/256 a cycle
    ALLOW,     // so many words of the core pass, then none
    LOST,      // the line reports a lost byte
    WAIT,      // until every frame has its reply, and it is quiet
    ROUND,     // a new one begins
};

enum Kind : uint32_t { RECEIVED, DROPPED, SENT, ANSWERED, RESET, BEGUN, HUNG, PULSED };

constexpr uint32_t ALL = 0xffffffff;
constexpr uint8_t END = 0xc0;

[[noreturn]] void fail(const std::string& text) {
    std::fprintf(stderr, "error: %s\n", text.c_str());
    std::exit(1);
}

struct Command {
    uint32_t op, value;
};

struct Record {
    uint64_t cycle;
    uint32_t kind, value;
};

// Counts frames that are not empty.
struct FrameCount {
    uint64_t frames = 0;
    bool filled = false;

    void take(uint8_t byte) {
        if (byte == END) frames += filled;
        filled = byte != END;
    }
};

struct Harness {
    std::unique_ptr<VerilatedContext> context = std::make_unique<VerilatedContext>();
    std::unique_ptr<Vlink> link = std::make_unique<Vlink>(context.get());
    std::FILE* log = nullptr;
    uint64_t cycle = 0, records = 0, progress = 0, last_sent = 0, slowest = 0, random = 1;
    uint64_t limit = 0, entered = 0, base = 0;
    FrameCount in, out;
    bool full = false, lost = false, hung = false, waiting = false;
    uint8_t byte = 0;
    uint32_t pace = 0, sink = 256, hold_in = 0, hold_out = 0, allowed = ALL;

    bool chance(uint32_t of256) {
        if (of256 == 0 || of256 >= 256) return of256 != 0;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return ((random >> 24) & 255) < of256;
    }

    void write(Kind kind, uint32_t value) {
        const Record record{cycle, kind, value};
        std::fwrite(&record, sizeof record, 1, log);
        ++records;
    }

    void reset() {
        full = lost = hung = waiting = false;
        pace = hold_in = hold_out = 0;
        sink = 256;
        allowed = ALL;
        in = out = FrameCount{};
        link->rx_valid = link->tx_ready = link->lost = 0;
        link->hold_in = link->hold_out = 0;
        link->rst = 1;
        for (int half = 0; half < 6; ++half) {
            link->clk = half & 1;
            link->eval();
        }
        link->rst = 0;
        base = progress = cycle;
    }

    void step() {
        link->clk = 0;
        link->rx_valid = full;
        link->rx_payload = byte;
        link->tx_ready = chance(sink);
        link->lost = lost;
        link->hold_in = chance(hold_in);
        link->hold_out = allowed == 0 || chance(hold_out);
        link->eval();
        if (full && link->rx_ready) {
            write(RECEIVED, byte);
            in.take(byte);
            full = false;
            progress = cycle;
        }
        if (link->tx_valid && link->tx_ready) {
            write(SENT, link->tx_payload);
            out.take(link->tx_payload);
            progress = last_sent = cycle;
        }
        if (lost) write(PULSED, 0);
        if (link->core_reset) {
            write(RESET, 0);
            waiting = false;
        }
        if (waiting && link->answered) {
            write(ANSWERED, static_cast<uint32_t>(cycle - entered));
            waiting = false;
        }
        if (link->entered_last) {
            entered = cycle;
            waiting = true;
        }
        if (link->taken && allowed != ALL && allowed) --allowed;
        lost = false;
        link->clk = 1;
        link->eval();
        ++cycle;
        if (cycle - progress > limit) hung = true;
    }

    void send(uint8_t value) {
        if (pace) {
            for (uint32_t n = 0; n < pace; ++n) step();
            progress = cycle;
            if (full) {
                write(DROPPED, value);
                lost = true;
                return;
            }
            byte = value;
            full = true;
            return;
        }
        while (full && !hung) step();
        byte = value;
        full = true;
        while (full && !hung) step();
    }

    void wait(uint64_t quiet) {
        while (full && !hung) step();
        const uint64_t begun = cycle;
        uint64_t since = cycle;  // of the last byte out, or of the wait
        while (!hung) {
            if (last_sent > since) since = last_sent;
            if (out.frames >= in.frames && cycle - since > quiet) break;
            step();
        }
        if (!hung && last_sent > begun && last_sent - begun > slowest) slowest = last_sent - begun;
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::map<std::string, std::string> option;
    for (int i = 1; i < argc; ++i) {
        const std::string text = argv[i];
        const size_t at = text.find('=');
        if (at == std::string::npos) fail("not key=value: " + text);
        option[text.substr(0, at)] = text.substr(at + 1);
    }
    std::FILE* script = std::fopen(option.at("script").c_str(), "rb");
    if (!script) fail("cannot open " + option.at("script"));
    Harness harness;
    harness.log = std::fopen(option.at("log").c_str(), "wb");
    if (!harness.log) fail("cannot write " + option.at("log"));
    harness.random = std::stoull(option.at("seed")) * 2654435761u + 88172645463325252u;
    harness.limit = std::stoull(option.at("limit"));
    const uint64_t quiet = std::stoull(option.at("quiet"));

    const auto begun = std::chrono::steady_clock::now();
    harness.reset();
    uint64_t frames = 0;
    bool skipping = false;
    Command command;
    while (std::fread(&command, sizeof command, 1, script) == 1) {
        if (skipping && command.op != ROUND) continue;
        switch (command.op) {
            case BYTE: harness.send(static_cast<uint8_t>(command.value)); break;
            case GAP:
                for (uint32_t n = 0; n < command.value; ++n) harness.step();
                harness.progress = harness.cycle;
                harness.hung = false;
                break;
            case PACE: harness.pace = command.value; break;
            case SINK: harness.sink = command.value; break;
            case HOLD_IN: harness.hold_in = command.value; break;
            case HOLD_OUT: harness.hold_out = command.value; break;
            case ALLOW: harness.allowed = command.value; break;
            case LOST:
                harness.lost = true;
                harness.step();
                break;
            case WAIT: harness.wait(quiet); break;
            case ROUND:
                skipping = false;
                frames += harness.in.frames;
                harness.in.frames = harness.out.frames = 0;
                harness.write(BEGUN, command.value);
                if (command.value % 1000 == 0) std::fprintf(stderr, "%u\n", command.value);
                break;
            default: fail("no such operation: " + std::to_string(command.op));
        }
        if (harness.hung) {
            harness.write(HUNG, 0);
            frames += harness.in.frames;
            harness.reset();
            skipping = true;
        }
    }
    frames += harness.in.frames;
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun;
    harness.link->final();
    if (std::fclose(harness.log)) fail("cannot write " + option.at("log"));
    std::printf(
        "{\"cycles\": %llu, \"seconds\": %.9f, \"records\": %llu, \"frames\": %llu, "
        "\"slowest\": %llu}\n",
        static_cast<unsigned long long>(harness.cycle), spent.count(),
        static_cast<unsigned long long>(harness.records), static_cast<unsigned long long>(frames),
        static_cast<unsigned long long>(harness.slowest));
    return 0;
}
