// A board between its oscillator and its serial pins, served on a pseudo-terminal.
//
// Verilator compiles it with the model Vboard. Arguments are key=value:
//   terminal   file descriptor of the pseudo-terminal's master side
//   speed      what cfgetospeed says of the right speed (-1: any speed is right)
//   input_hz   frequency of the oscillator
//   baud       bits a second
//   linger     cycles of silence after which time stands still
//   skip       1: leave out clock edges that change nothing (see Chip); 0: none, which is slower
//              and the same
//   trace      1: an event for each byte, as its start bit begins on the way in, and as it is
//              complete on the way out
// A line on standard input asks for the state, which is one line of JSON on standard output; its end
// ends the program. An event is a line of JSON too.
//
// Time. The oscillator's rising edges are counted, cycle 0 is the first. Time stands still until the
// host has written something. The bytes of a burst then go onto the pin back to back; whatever the
// host has written by the end of the last one's stop bit belongs to the burst. After that time runs
// on until both lines have been silent for `linger` cycles, and on to the next cycle in which both
// clocks rise together; what the host writes meanwhile is the next burst. So the reply to a burst
// comes a number of cycles after it that depends on nothing but the bytes.
#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "Vboard.h"
#include "Vboard___024root.h"
#include "uart_pins.h"
#include "verilated.h"

double sc_time_stamp() { return 0; }

#ifdef DIRECT_EVAL  // what Verilator calls inside eval, without its locks for other threads
void Vboard___024root___eval(Vboard___024root* root);
#endif

namespace {

constexpr uint64_t LOCK_CYCLES = 100;       // until the PLL reports its lock
constexpr uint64_t POWER_UP_MICROSECONDS = 50;  // the reset behind it is over by then
constexpr int GRACE_MILLISECONDS = 1;       // that the end of a burst waits for more of it
constexpr size_t TOP_UP = 64;               // bytes waiting below which more are read
constexpr size_t UNREAD_LIMIT = 1 << 16;    // bytes kept for a host that does not read
constexpr uint64_t CHECK_CYCLES = 1 << 16;  // between two looks at standard input
constexpr uint64_t CALM = 10;               // edges without a change before rest is tried

// The model, one rising edge at a time; falling edges change nothing but the clock itself.
//
// The modules behind the input `gate` are as a rule at rest: they wait for a byte. Where an edge
// leaves every bit of the whole model as it was, so do all that follow while what the modules see
// (`watched`) stays what it is; these edges are left out. Nothing is assumed of the modules.
class Chip {
public:
    explicit Chip(bool skip) {
        model->rx = 1;
        model->locked = 0;
        model->eval();
        numerator = model->numerator;
        denominator = model->denominator;
        if (!numerator) numerator = denominator = 1;
        for (uint64_t a = numerator, b = denominator;;) {  // to lowest terms
            if (a % b == 0) {
                numerator /= b;
                denominator /= b;
                break;
            }
            const uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        has_pll_ = model->numerator != 0;
        may_rest_ = skip && model->gated;
        oscillator_next_ = numerator;
        core_next_ = has_pll_ ? denominator : numerator;
    }

    // Go on to the oscillator's next rising edge.
    void step() {
        while (has_pll_ && core_next_ < oscillator_next_) {
            model->core_clock = 1;
            core_next_ += denominator;
            edge(true);
        }
        const bool together = core_next_ == oscillator_next_;
        model->oscillator = 1;
        model->core_clock = has_pll_ && together;
        oscillator_next_ += numerator;
        if (together) core_next_ += has_pll_ ? denominator : numerator;
        edge(together);
        ++cycle;
    }

    // Whether both clocks rose in the last step as they did in cycle 0.
    bool aligned() const { return cycle % denominator == 0; }

    std::unique_ptr<Vboard> model{new Vboard};
    uint64_t numerator, denominator;  // frequency of the core's clock by the oscillator's
    uint64_t cycle = 0;               // rising edges of the oscillator
    uint64_t edges = 0, skipped = 0;  // of the core's clock

private:
    using Watched = std::decay_t<decltype(model->watched)>;

    void evaluate() {
#ifdef DIRECT_EVAL
        Vboard___024root___eval(model->rootp);
#else
        model->eval();
#endif
    }

    // Lower the clocks. Where no logic works on falling edges it is enough that the model takes
    // them for low before the next edge.
    void fall() {
        model->oscillator = model->core_clock = model->gate = 0;
#ifdef NO_FALLING_EDGES
        if (take_for_low(model->rootp, 0)) return;
#endif
        evaluate();
    }

    // What Verilator compares a clock with to see its edge; false where it has other names for it.
    template <class Root>
    auto take_for_low(Root* root, int) -> decltype(root->__Vtrigprevexpr___TOP__oscillator__0,
                                                   root->__Vtrigprevexpr___TOP__core_clock__0,
                                                   root->__Vtrigprevexpr___TOP__gate__0, bool()) {
        root->__Vtrigprevexpr___TOP__oscillator__0 = 0;
        root->__Vtrigprevexpr___TOP__core_clock__0 = 0;
        root->__Vtrigprevexpr___TOP__gate__0 = 0;
        return true;
    }
    template <class Root>
    bool take_for_low(Root*, long) {
        return false;
    }

    void edge(bool core) {
        if (!core) {
            evaluate();
            fall();
            return;
        }
        ++edges;
        if (resting_ && !std::memcmp(&watched_, &model->watched, sizeof watched_)) {
            ++skipped;
            evaluate();
            fall();
            return;
        }
        resting_ = false;
        if (std::memcmp(&watched_, &model->watched, sizeof watched_)) wake();
        model->gate = 1;
        evaluate();
        fall();
        if (may_rest_ && ++calm_ == wanted_) try_to_rest();
    }

    void wake() {
        std::memcpy(&watched_, &model->watched, sizeof watched_);
        calm_ = 0;
        wanted_ = CALM;
    }

    // Give the gated modules one edge more than the others. If that changes nothing they are at
    // rest, and else it never was.
    void try_to_rest() {
        if (std::memcmp(&watched_, &model->watched, sizeof watched_)) return wake();
        auto* const root = reinterpret_cast<char*>(model->rootp);
        evaluate();  // as after the edge below, nothing was triggered last
        std::memcpy(before_.data(), root, before_.size());
        model->gate = 1;
        evaluate();
        fall();
        evaluate();
        if (!std::memcmp(before_.data(), root, before_.size())) {
            resting_ = true;
        } else {
            std::memcpy(root, before_.data(), before_.size());
            calm_ = 0;
            wanted_ *= 2;
        }
    }

    bool has_pll_, may_rest_, resting_ = false;
    uint64_t oscillator_next_, core_next_;  // in 1/(numerator denominator) of their common period
    uint64_t calm_ = 0, wanted_ = CALM;     // edges since the last change, and until the next try
    Watched watched_{};                     // as of the last change
    std::vector<char> before_ = std::vector<char>(sizeof(Vboard___024root));
};

class Server {
public:
    explicit Server(const std::map<std::string, int64_t>& option)
        : terminal_(static_cast<int>(option.at("terminal"))), speed_(option.at("speed")),
          input_hz_(option.at("input_hz")), linger_(option.at("linger")),
          trace_(option.at("trace") != 0), board_(option.at("skip") != 0), sender_(bit_time(option)), receiver_(bit_time(option)) {
        ::fcntl(terminal_, F_SETFL, ::fcntl(terminal_, F_GETFL) | O_NONBLOCK);
    }

    void run() {
        const uint64_t up = POWER_UP_MICROSECONDS * input_hz_ / 1'000'000 + LOCK_CYCLES;
        while (board_.cycle < up || !board_.aligned()) step();
        tell_state();
        for (;;) {
            stand_still();
            if (!is_right_speed()) continue;
            burst();
        }
    }

private:
    static uart::BitTime bit_time(const std::map<std::string, int64_t>& option) {
        return {static_cast<uint64_t>(option.at("input_hz")),
                static_cast<uint64_t>(option.at("baud"))};
    }

    // Wait for the host, without any time passing.
    void stand_still() {
        while (sender_.waiting() == 0) {
            const short way = unread_.empty() ? POLLIN : POLLIN | POLLOUT;
            pollfd files[] = {{terminal_, way, 0}, {STDIN_FILENO, POLLIN, 0}};
            if (::poll(files, 2, -1) < 0 && errno != EINTR) std::exit(1);
            if (files[1].revents) answer();
            if (files[0].revents & POLLOUT) write_on();
            if (files[0].revents & POLLIN) read_on();
        }
    }

    void burst() {
        uint64_t last = board_.cycle;  // in which something was on a line
        bool open = true;              // more bytes may join
        size_t waiting = sender_.waiting();
        while (board_.cycle - last < linger_ || !board_.aligned()) {
            if (open && sender_.ends(board_.cycle)) {
                pollfd file{terminal_, POLLIN, 0};
                if (::poll(&file, 1, GRACE_MILLISECONDS) > 0) read_on();
                open = sender_.waiting() != 0;
            } else if (open && sender_.waiting() < waiting && sender_.waiting() < TOP_UP) {
                read_on();  // a byte has begun
            }
            waiting = sender_.waiting();
            step();
            if (!sender_.idle() || !receiver_.idle() || !board_.model->tx) last = board_.cycle;
            if (board_.cycle % CHECK_CYCLES == 0) look_at_input();
        }
    }

    void step() {
        const size_t waiting = sender_.waiting();
        board_.model->locked = board_.cycle >= LOCK_CYCLES;
        board_.model->rx = sender_.level(board_.cycle);
        if (trace_ && sender_.waiting() < waiting) tell_byte("in", -1);
        board_.step();
        if (const auto byte = receiver_.take(board_.model->tx, board_.cycle)) {
            if (trace_) tell_byte("out", *byte);
            ++sent_;
            unread_.push_back(*byte);
            write_on();
        }
    }

    void read_on() {
        uint8_t bytes[4096];
        const ssize_t count = ::read(terminal_, bytes, sizeof bytes);
        for (ssize_t i = 0; i < count; ++i) sender_.push(bytes[i]);
        if (count > 0) received_ += count;
    }

    void write_on() {
        while (!unread_.empty()) {
            if (::write(terminal_, &unread_.front(), 1) != 1) break;
            unread_.pop_front();
        }
        while (unread_.size() > UNREAD_LIMIT) {
            unread_.pop_front();
            ++unread_lost_;
        }
    }

    // At another speed the board would see no byte of what was sent.
    bool is_right_speed() {
        termios settings;
        if (speed_ < 0 || ::tcgetattr(terminal_, &settings)) return true;
        const int64_t set = ::cfgetospeed(&settings);
        if (set == speed_) return true;
        received_ -= sender_.waiting();
        sender_.forget();
        std::printf("{\"event\": \"speed\", \"speed\": %lld}\n", static_cast<long long>(set));
        std::fflush(stdout);
        return false;
    }

    void look_at_input() {
        pollfd file{STDIN_FILENO, POLLIN, 0};
        if (::poll(&file, 1, 0) > 0) answer();
    }

    void answer() {
        char text[256];
        const ssize_t count = ::read(STDIN_FILENO, text, sizeof text);
        if (count <= 0) std::exit(0);
        for (ssize_t i = 0; i < count; ++i)
            if (text[i] == '\n') tell_state();
    }

    void tell_byte(const char* way, int byte) {
        std::printf("{\"event\": \"%s\", \"cycle\": %llu, \"byte\": %d}\n", way,
                    static_cast<unsigned long long>(board_.cycle), byte);
    }

    void tell_state() {
        const auto of = [](uint64_t n) { return static_cast<unsigned long long>(n); };
        std::printf("{\"event\": \"state\", \"cycle\": %llu, \"lights\": %u, \"received\": %llu, "
                    "\"sent\": %llu, \"unread\": %llu, \"unread_lost\": %llu, \"broken\": %llu, "
                    "\"core_edges\": %llu, \"skipped_edges\": %llu, \"cpu_s\": %.6f}\n",
                    of(board_.cycle), static_cast<unsigned>(board_.model->lights), of(received_),
                    of(sent_), of(unread_.size()), of(unread_lost_), of(receiver_.dropped()),
                    of(board_.edges), of(board_.skipped),
                    static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
        std::fflush(stdout);
    }

    int terminal_;
    int64_t speed_;
    uint64_t input_hz_, linger_;
    bool trace_;
    Chip board_;
    uart::Sender sender_;
    uart::Receiver receiver_;
    std::deque<uint8_t> unread_;  // bytes that the terminal has not taken yet
    uint64_t received_ = 0, sent_ = 0, unread_lost_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    std::map<std::string, int64_t> options;
    for (int i = 1; i < argc; ++i) {
        const std::string text = argv[i];
        const size_t at = text.find('=');
        if (at == std::string::npos) return 2;
        options[text.substr(0, at)] = std::stoll(text.substr(at + 1));
    }
    std::signal(SIGINT, SIG_IGN);  // the end of standard input ends it, for whatever reason
    std::signal(SIGPIPE, SIG_IGN);
    Server(options).run();
    return 0;
}
