// Free-running harness of the bulk check: words from a file into the core, every result to a file.
//
// Verilator compiles it with the model Vcore. Arguments are key=value:
//   samples       packed raw words, each of SAMPLE_WORDS little-endian uint32
//   gaps          uint16 a raw word, cycles that the source waits before it (empty: never)
//   ready         uint8 a cycle, repeated without end, whether the sink takes a word (empty: always)
//   results       written: for every word taken, uint64 cycle and RESULT_WORDS uint32
//   patience      stop when no result was taken for so many cycles
//   limit         stop after so many results
//   reset_at      cycle in which the core is reset and everything starts over (-1: never)
//   report_every  results between two lines of progress
// Progress goes to stderr, a count of results a line; stdout gets one line of JSON: cycles,
// seconds, results.

// Written in the plain way, for it is compiled with every model: each template takes its time.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "Vcore.h"
#include "verilated.h"

double sc_time_stamp() { return 0; }

namespace {

// A port is an integer of 8 to 64 bits or a VlWide; both take a whole number of uint32 here.
template <class Port>
constexpr size_t words_of() {
    return (sizeof(Port) + 3) / 4;
}

template <class Port>
void load(Port& port, const uint32_t* words) {
    std::memcpy(&port, words, sizeof(Port));  // little-endian, as every host Verilator runs on
}

template <class Port>
void store(const Port& port, uint32_t* words) {
    std::memset(words, 0, 4 * words_of<Port>());
    std::memcpy(words, &port, sizeof(Port));
}

#define SAMPLES(member) samples_##member
#define RESULTS(member) results_##member

constexpr size_t SAMPLE_WORDS = words_of<decltype(Vcore::SAMPLES(payload))>();
constexpr size_t RESULT_WORDS = words_of<decltype(Vcore::RESULTS(payload))>();

[[noreturn]] void fail(const char* text, const char* what) {
    std::fprintf(stderr, "error: %s%s\n", text, what);
    std::exit(1);
}

struct Bytes {
    const uint8_t* data = nullptr;
    size_t size = 0;
};

Bytes read_file(const char* path) {
    Bytes bytes;
    if (!*path) return bytes;
    std::FILE* file = std::fopen(path, "rb");
    if (!file) fail("cannot open ", path);
    std::fseek(file, 0, SEEK_END);
    bytes.size = static_cast<size_t>(std::ftell(file));
    std::rewind(file);
    uint8_t* data = static_cast<uint8_t*>(std::malloc(bytes.size + 1));
    if (!data || std::fread(data, 1, bytes.size, file) != bytes.size) fail("cannot read ", path);
    std::fclose(file);
    bytes.data = data;
    return bytes;
}

double seconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Source {
    const uint32_t* words;
    size_t count;
    const uint16_t* gaps;
    size_t gap_count;
    size_t next = 0, wait = 0;

    void restart() {
        next = 0;
        wait = gap();
    }
    size_t gap() const { return next < gap_count ? gaps[next] : 0; }
    bool offers() const { return wait == 0 && next < count; }
    void step(bool taken) {
        if (wait) {
            --wait;
        } else if (taken) {
            ++next;
            wait = gap();
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    auto option = [&](const char* key) -> const char* {
        const size_t length = std::strlen(key);
        for (int i = 1; i < argc; ++i)
            if (!std::strncmp(argv[i], key, length) && argv[i][length] == '=')
                return argv[i] + length + 1;
        fail("missing: ", key);
    };
    auto number = [&](const char* key) { return std::strtoll(option(key), nullptr, 10); };

    const Bytes words = read_file(option("samples")), gaps = read_file(option("gaps"));
    const Bytes ready = read_file(option("ready"));
    Source source{reinterpret_cast<const uint32_t*>(words.data), words.size / 4 / SAMPLE_WORDS,
                  reinterpret_cast<const uint16_t*>(gaps.data), gaps.size / 2};
    const uint64_t patience = number("patience"), limit = number("limit");
    const uint64_t report_every = number("report_every");
    int64_t reset_at = number("reset_at");
    std::FILE* results = std::fopen(option("results"), "wb");
    if (!results) fail("cannot write ", option("results"));

    VerilatedContext context;
    Vcore* const core = new Vcore(&context);
    core->clk = 0;
    core->rst = 1;
    core->SAMPLES(valid) = 0;
    core->RESULTS(ready) = 0;
    for (int half = 0; half < 6; ++half) {
        core->clk = half & 1;
        core->eval();
    }

    const double begun = seconds();
    uint64_t cycle = 0, simulated = 0, count = 0, last = 0;
    size_t beat = 0;  // place in the pattern of the sink
    uint32_t word[RESULT_WORDS];
    source.restart();
    while (count < limit && cycle - last <= patience) {
        const bool resetting = reset_at >= 0 && cycle == static_cast<uint64_t>(reset_at);
        const bool offers = source.offers();
        core->clk = 0;
        core->rst = resetting;
        core->SAMPLES(valid) = offers;
        if (offers) load(core->SAMPLES(payload), &source.words[source.next * SAMPLE_WORDS]);
        core->RESULTS(ready) = !ready.size || ready.data[beat];
        core->eval();  // inputs settle before the edge
        const bool taken = offers && core->SAMPLES(ready);
        if (core->RESULTS(valid) && core->RESULTS(ready) && !resetting) {
            store(core->RESULTS(payload), word);
            std::fwrite(&cycle, sizeof cycle, 1, results);
            std::fwrite(word, sizeof word, 1, results);
            last = cycle;
            if (++count % report_every == 0)
                std::fprintf(stderr, "%llu\n", static_cast<unsigned long long>(count));
        }
        core->clk = 1;
        core->eval();
        ++simulated;
        if (resetting) {  // what came before is forgotten, cycle 0 is the next
            std::rewind(results);
            reset_at = -1;
            cycle = last = count = beat = 0;
            source.restart();
            continue;
        }
        source.step(taken);
        ++cycle;
        if (++beat >= ready.size) beat = 0;
    }
    const double spent = seconds() - begun;
    core->final();
    delete core;
    // A run that was reset may have written more before than after it; the count rules.
    if (std::fclose(results)) fail("cannot write ", option("results"));
    std::printf("{\"cycles\": %llu, \"seconds\": %.9f, \"results\": %llu}\n",
                static_cast<unsigned long long>(simulated), spent,
                static_cast<unsigned long long>(count));
    return 0;
}
