// Harness of the fault campaign: one model, many runs, each with one fault switched on.
//
// Verilator compiles it with the model Vcore; memories.h names the model's memories, a line
// MEMORY(number) each. Arguments are key=value:
//   stimuli   folders, separated by commas; each holds what one pass is driven with and expects
//   faults    text, a line each: id switch memory address bit first last
//               switch   bit of fault_active, -1 for none
//               memory   whose bit is inverted at cycle ``first`` (-1: at power-on), -1 for none
//               first    first cycle in which the switch is on; -1: from power-on
//               last     last cycle in which it is on; -1: for ever
//   patience  a pass ends when no result was taken for so many cycles
// A folder holds, numbers little-endian:
//   samples   packed raw words, uint32
//   gaps      uint16 a raw word, cycles that the source waits before it
//   ready     uint8 a cycle, whether the sink takes a word; always beyond its end
//   probes    uint32: count; for each: number of valid bits and their places in ``observed``,
//             offset and width of the word, whether it is a stream of events or results
//   expected  for each probe: uint32 count; for each word uint32 cycle and the word in uint32s
//   results   for each result word: uint32 cycle, then expected word, mask of what counts of it,
//             mask of the class, in uint32s as wide as the results' payload
// Run 0 has no fault: what flows through the streams in it is what the others are held against.
// Every run says one line of JSON on stdout: by pass, the first difference that each observer saw,
// null for none; the first line is the fault-free run's.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "Vcore.h"
#include "Vcore___024root.h"
#include "verilated.h"

double sc_time_stamp() { return 0; }

namespace {

using Words = std::vector<uint32_t>;
constexpr int64_t NEVER = -1;
constexpr int64_t AFTER = 32;  // cycles that are observed once the last result was taken

[[noreturn]] void fail(const std::string& text) {
    std::fprintf(stderr, "error: %s\n", text.c_str());
    std::exit(1);
}

// A port is an integer of 8 to 64 bits or a VlWide; both take a whole number of uint32 here.
template <class Port>
constexpr size_t words_of() {
    return (sizeof(Port) + 3) / 4;
}

template <class Port>
void load(Port& port, const uint32_t* words) {
    std::memcpy(&port, words, sizeof(Port));
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
constexpr size_t OBSERVED_WORDS = words_of<decltype(Vcore::observed)>();
constexpr size_t SWITCH_WORDS = words_of<decltype(Vcore::fault_active)>();

template <class Item>
std::vector<Item> read_file(const std::string& path) {
    std::vector<Item> items;
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

// A bit of a word of a memory, inverted in place; words are little-endian.
template <class Item, size_t Depth>
void invert(VlUnpacked<Item, Depth>& memory, size_t address, size_t bit) {
    if (address >= Depth || bit >= 8 * sizeof(Item)) fail("no such bit of a memory");
    auto* bytes = reinterpret_cast<uint8_t*>(&memory[address]);
    bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
}

void invert(Vcore___024root* root, int64_t memory, size_t address, size_t bit) {
    switch (memory) {
#define MEMORY(number)                                                                  \
    case number:                                                                        \
        return invert(root->signfire_core__DOT__fault_memory_##number, address, bit);
#include "memories.h"
#undef MEMORY
    }
    fail("no such memory");
}

struct Fault {
    int64_t id = 0, plug = NEVER, memory = NEVER, address = 0, bit = 0;
    int64_t first = NEVER, last = NEVER;

    bool on(int64_t cycle) const {
        return plug >= 0 && cycle >= first && (last == NEVER || cycle <= last);
    }
};

struct Probe {
    std::vector<uint32_t> valid;
    uint32_t offset = 0, width = 0, size = 0;
    bool stream = false;
    Words cycles, words;  // expected; size uint32s a word

    bool is_valid(const uint32_t* observed) const {
        for (const uint32_t bit : valid)
            if (!(observed[bit / 32] >> bit % 32 & 1)) return false;
        return true;
    }
    void take(const uint32_t* observed, uint32_t* word) const {
        for (uint32_t i = 0; i < size; ++i) {
            const uint32_t at = offset + 32 * i, left = width - 32 * i;
            const uint64_t low = observed[at / 32];
            const uint64_t high = at % 32 && at / 32 + 1 < OBSERVED_WORDS ? observed[at / 32 + 1] : 0;
            word[i] = static_cast<uint32_t>((high << 32 | low) >> at % 32);
            if (left < 32) word[i] &= (1u << left) - 1;
        }
    }
};

struct Pass {
    Words samples, results;
    std::vector<uint16_t> gaps;
    std::vector<uint8_t> ready;
    std::vector<Probe> probes;
    size_t count = 0;                // result words
    std::vector<Words> streams;      // what flowed in the run without a fault
    Words answers;                   // and its results

    explicit Pass(const std::string& folder) {
        samples = read_file<uint32_t>(folder + "/samples");
        gaps = read_file<uint16_t>(folder + "/gaps");
        ready = read_file<uint8_t>(folder + "/ready");
        results = read_file<uint32_t>(folder + "/results");
        count = results.size() / (1 + 3 * RESULT_WORDS);
        const Words shape = read_file<uint32_t>(folder + "/probes");
        const Words words = read_file<uint32_t>(folder + "/expected");
        size_t at = 0, from = 0;
        probes.resize(shape.at(at++));
        streams.resize(probes.size());
        for (Probe& probe : probes) {
            probe.valid.resize(shape.at(at++));
            for (uint32_t& bit : probe.valid) bit = shape.at(at++);
            probe.offset = shape.at(at++);
            probe.width = shape.at(at++);
            probe.stream = shape.at(at++);
            probe.size = (probe.width + 31) / 32;
            for (size_t left = words.at(from++); left; --left) {
                probe.cycles.push_back(words.at(from++));
                for (uint32_t i = 0; i < probe.size; ++i) probe.words.push_back(words.at(from++));
            }
        }
    }
    const uint32_t* result(size_t k) const { return &results[k * (1 + 3 * RESULT_WORDS)]; }
};

// The first difference that one observer saw: cycle, and what it is about.
struct Seen {
    int64_t cycle = NEVER, index = NEVER, sub = NEVER;

    explicit operator bool() const { return cycle != NEVER; }
    void note(int64_t when, int64_t what, int64_t more = NEVER) {
        if (cycle == NEVER) *this = Seen{when, what, more};
    }
    std::string json() const {
        if (!*this) return "null";
        std::ostringstream text;
        text << "[" << cycle << "," << index << "," << sub << "]";
        return text.str();
    }
};

struct Verdict {
    Seen cycle;   // index: probe; sub: 0 another word, 1 a word where none is due, 2 none where due
    Seen bulk;    // index: result word; sub: 0 other content, 1 other cycle, 2 one too many, 3 none
    Seen label;   // a class alone
    Seen event;   // index: probe of a stream; sub: word
    Seen answer;  // index: result word
    bool hang = false;
    int64_t cycles = 0;

    // A hang is only seen by waiting, and an observer that saw nothing yet waits too.
    bool complete() const { return cycle && bulk && label && event && answer; }
    std::string json() const {
        std::ostringstream text;
        text << "{\"cycle\":" << cycle.json() << ",\"bulk\":" << bulk.json() << ",\"class\":"
             << label.json() << ",\"event\":" << event.json() << ",\"answer\":" << answer.json()
             << ",\"hang\":" << (hang ? "true" : "false") << ",\"cycles\":" << cycles << "}";
        return text.str();
    }
};

class Run {
   public:
    Run(Pass& pass, const Fault& fault, bool reference, int64_t patience)
        : pass_(pass), fault_(fault), reference_(reference), patience_(patience) {
        context_ = std::make_unique<VerilatedContext>();
        core_ = std::make_unique<Vcore>(context_.get());
        next_.resize(pass.probes.size());
        flowed_.resize(pass.probes.size());
        word_.resize(OBSERVED_WORDS);
    }

    Verdict go() {
        power_on();
        size_t next = 0, wait = pass_.gaps.empty() ? 0 : pass_.gaps[0];
        const size_t offered = pass_.samples.size() / SAMPLE_WORDS;
        int64_t last = 0, cycle = 0;
        for (;; ++cycle) {
            const bool done = taken_ >= pass_.count;
            if (cycle - last > (done ? AFTER : patience_)) break;
            if (!reference_ && verdict_.complete()) break;
            const bool offers = wait == 0 && next < offered;
            const size_t at = static_cast<size_t>(cycle);
            core_->clk = 0;
            core_->rst = 0;
            core_->SAMPLES(valid) = offers;
            if (offers) load(core_->SAMPLES(payload), &pass_.samples[next * SAMPLE_WORDS]);
            core_->RESULTS(ready) = at >= pass_.ready.size() || pass_.ready[at];
            set_switch(fault_.on(cycle + 1));  // acts after the edge
            core_->eval();
            observe(cycle);
            if (core_->RESULTS(valid) && core_->RESULTS(ready)) {
                if (!done) last = cycle;  // results without end must end too
                result(cycle);
            }
            const bool accepted = offers && core_->SAMPLES(ready);
            if (fault_.memory >= 0 && fault_.first == cycle)
                invert(core_->rootp, fault_.memory, fault_.address, fault_.bit);
            core_->clk = 1;
            core_->eval();
            if (wait) {
                --wait;
            } else if (accepted) {
                ++next;
                wait = next < pass_.gaps.size() ? pass_.gaps[next] : 0;
            }
        }
        verdict_.cycles = cycle;
        finish(cycle);
        core_->final();
        return verdict_;
    }

   private:
    void power_on() {
        set_switch(fault_.first == NEVER);
        core_->clk = 0;
        core_->rst = 1;
        core_->SAMPLES(valid) = 0;
        core_->RESULTS(ready) = 0;
        core_->eval();
        if (fault_.memory >= 0 && fault_.first == NEVER)
            invert(core_->rootp, fault_.memory, fault_.address, fault_.bit);
        for (int half = 1; half < 7; ++half) {
            if (half == 5) set_switch(fault_.on(0));
            core_->clk = half & 1;
            core_->eval();
        }
    }

    void set_switch(bool on) {
        if (fault_.plug < 0 || on == switched_) return;
        uint32_t bits[SWITCH_WORDS] = {};
        if (on) bits[fault_.plug / 32] = 1u << fault_.plug % 32;
        load(core_->fault_active, bits);
        switched_ = on;
    }

    void observe(int64_t cycle) {
        uint32_t observed[OBSERVED_WORDS];
        store(core_->observed, observed);
        for (size_t p = 0; p < pass_.probes.size(); ++p) {
            const Probe& probe = pass_.probes[p];
            const bool looked = !verdict_.cycle;
            if (!looked && !probe.stream) continue;
            const bool valid = probe.is_valid(observed);
            size_t& next = next_[p];
            while (next < probe.cycles.size() && probe.cycles[next] < cycle) ++next;
            const bool due = next < probe.cycles.size() && probe.cycles[next] == cycle;
            if (!valid && !due) continue;
            if (valid) probe.take(observed, word_.data());
            if (looked) {
                if (valid != due)
                    verdict_.cycle.note(cycle, static_cast<int64_t>(p), valid ? 1 : 2);
                else if (std::memcmp(word_.data(), &probe.words[next * probe.size], 4 * probe.size))
                    verdict_.cycle.note(cycle, static_cast<int64_t>(p), 0);
            }
            if (valid && probe.stream) flow(cycle, p, probe);
        }
    }

    // Judge: do the same events flow, in the same order, whenever that is?
    void flow(int64_t cycle, size_t p, const Probe& probe) {
        Words& known = pass_.streams[p];
        if (reference_) {
            known.insert(known.end(), word_.begin(), word_.begin() + probe.size);
            return;
        }
        const size_t k = flowed_[p]++;
        if ((k + 1) * probe.size > known.size() ||
            std::memcmp(word_.data(), &known[k * probe.size], 4 * probe.size))
            verdict_.event.note(cycle, static_cast<int64_t>(p), static_cast<int64_t>(k));
    }

    void result(int64_t cycle) {
        const size_t k = taken_++;
        const auto index = static_cast<int64_t>(k);
        uint32_t word[RESULT_WORDS];
        store(core_->RESULTS(payload), word);
        if (k >= pass_.count) {
            verdict_.bulk.note(cycle, index, 2);
            verdict_.answer.note(cycle, index);
            return;
        }
        const uint32_t* expected = pass_.result(k) + 1;
        const uint32_t *counts = expected + RESULT_WORDS, *label = counts + RESULT_WORDS;
        bool other = false, other_class = false, other_answer = false;
        for (size_t i = 0; i < RESULT_WORDS; ++i) {
            const uint32_t known = reference_ ? 0 : pass_.answers[k * RESULT_WORDS + i];
            other |= ((word[i] ^ expected[i]) & counts[i]) != 0;
            other_class |= ((word[i] ^ expected[i]) & label[i]) != 0;
            other_answer |= ((word[i] ^ known) & counts[i]) != 0;
        }
        if (reference_)
            pass_.answers.insert(pass_.answers.end(), word, word + RESULT_WORDS);
        else if (other_answer)
            verdict_.answer.note(cycle, index);
        if (other) verdict_.bulk.note(cycle, index, 0);
        if (cycle != pass_.result(k)[0]) verdict_.bulk.note(cycle, index, 1);
        if (other_class) verdict_.label.note(cycle, index);
    }

    void finish(int64_t cycle) {
        if (!reference_ && verdict_.complete()) return;
        if (taken_ < pass_.count) {
            verdict_.hang = true;
            const auto index = static_cast<int64_t>(taken_);
            verdict_.bulk.note(cycle, index, 3);
            verdict_.label.note(cycle, index);
            verdict_.answer.note(cycle, index);
        }
        for (size_t p = 0; p < pass_.probes.size(); ++p) {
            const Probe& probe = pass_.probes[p];
            for (size_t next = next_[p]; next < probe.cycles.size(); ++next)
                if (probe.cycles[next] >= cycle)
                    verdict_.cycle.note(cycle, static_cast<int64_t>(p), 2);
            if (!reference_ && probe.stream && flowed_[p] * probe.size < pass_.streams[p].size())
                verdict_.event.note(cycle, static_cast<int64_t>(p), static_cast<int64_t>(flowed_[p]));
        }
    }

    Pass& pass_;
    const Fault& fault_;
    bool reference_;
    int64_t patience_;
    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vcore> core_;
    std::vector<size_t> next_, flowed_;
    Words word_;
    Verdict verdict_;
    size_t taken_ = 0;
    bool switched_ = false;
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
    std::vector<Pass> passes;
    std::istringstream folders(option.at("stimuli"));
    for (std::string folder; std::getline(folders, folder, ',');) passes.emplace_back(folder);
    const int64_t patience = std::stoll(option.at("patience"));
    std::FILE* list = std::fopen(option.at("faults").c_str(), "r");
    if (!list) fail("cannot open " + option.at("faults"));

    bool reference = true;
    for (Fault fault;; reference = false) {
        long long n[7];
        if (!reference) {
            if (std::fscanf(list, "%lld %lld %lld %lld %lld %lld %lld", n, n + 1, n + 2, n + 3, n + 4,
                            n + 5, n + 6) != 7)
                break;
            fault = Fault{n[0], n[1], n[2], n[3], n[4], n[5], n[6]};
        }
        std::printf("{\"id\":%lld,\"passes\":[", static_cast<long long>(fault.id));
        for (size_t i = 0; i < passes.size(); ++i)
            std::printf("%s%s", i ? "," : "",
                        Run(passes[i], fault, reference, patience).go().json().c_str());
        std::printf("]}\n");
        std::fflush(stdout);
    }
    std::fclose(list);
    return 0;
}
