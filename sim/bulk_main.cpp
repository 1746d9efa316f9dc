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

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

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

[[noreturn]] void fail(const std::string& text) {
    std::fprintf(stderr, "error: %s\n", text.c_str());
    std::exit(1);
}

template <class Item>
std::vector<Item> read_file(const std::string& path) {
    std::vector<Item> items;
    if (path.empty()) return items;
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (!file) fail("cannot open " + path);
    std::fseek(file, 0, SEEK_END);
    items.resize(static_cast<size_t>(std::ftell(file)) / sizeof(Item));
    std::rewind(file);
    if (std::fread(items.data(), sizeof(Item), items.size(), file) != items.size())
        fail("cannot read " + path);
    std::fclose(file);
    return items;
}

struct Source {
    std::vector<uint32_t> words;
    std::vector<uint16_t> gaps;
    size_t count = 0, next = 0, wait = 0;

    void restart() {
        next = 0;
        wait = gap();
    }
    size_t gap() const { return next < gaps.size() ? gaps[next] : 0; }
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
    std::map<std::string, std::string> option;
    for (int i = 1; i < argc; ++i) {
        const std::string text = argv[i];
        const size_t at = text.find('=');
        if (at == std::string::npos) fail("not key=value: " + text);
        option[text.substr(0, at)] = text.substr(at + 1);
    }
    auto number = [&](const char* key) { return std::stoll(option.at(key)); };

    Source source{read_file<uint32_t>(option.at("samples")), read_file<uint16_t>(option.at("gaps"))};
    source.count = source.words.size() / SAMPLE_WORDS;
    const std::vector<uint8_t> ready = read_file<uint8_t>(option.at("ready"));
    const uint64_t patience = number("patience"), limit = number("limit");
    const uint64_t report_every = number("report_every");
    int64_t reset_at = number("reset_at");
    std::FILE* results = std::fopen(option.at("results").c_str(), "wb");
    if (!results) fail("cannot write " + option.at("results"));

    const auto context = std::make_unique<VerilatedContext>();
    const auto core = std::make_unique<Vcore>(context.get());
    core->clk = 0;
    core->rst = 1;
    core->SAMPLES(valid) = 0;
    core->RESULTS(ready) = 0;
    for (int half = 0; half < 6; ++half) {
        core->clk = half & 1;
        core->eval();
    }

    const auto begun = std::chrono::steady_clock::now();
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
        core->RESULTS(ready) = ready.empty() || ready[beat];
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
        if (++beat >= ready.size()) beat = 0;
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun;
    core->final();
    // A run that was reset may have written more before than after it; the count rules.
    if (std::fclose(results)) fail("cannot write " + option.at("results"));
    std::printf("{\"cycles\": %llu, \"seconds\": %.9f, \"results\": %llu}\n",
                static_cast<unsigned long long>(simulated), spent.count(),
                static_cast<unsigned long long>(count));
    return 0;
}
