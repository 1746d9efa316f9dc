// The far ends of a board's serial line: bytes go out and come in bit by bit, by the board's cycle.
//
// A byte is a low start bit, eight data bits from the lowest, a high stop bit; an idle line is high.
// A bit takes numerator/denominator cycles, which is exact: bytes without a pause between them start
// ten bits apart, however many there are. Times are kept in cycles times denominator; in 64 bits they
// last for 10^13 cycles at the denominators of serial lines, which are below 10^6.
#ifndef SIGNFIRE_UART_PINS_H
#define SIGNFIRE_UART_PINS_H

#include <cstdint>
#include <deque>
#include <numeric>
#include <optional>
#include <stdexcept>

namespace uart {

constexpr uint64_t BITS = 10;  // of a byte on the line

struct BitTime {
    uint64_t numerator, denominator;  // cycles a bit, in lowest terms

    BitTime(uint64_t cycles, uint64_t bits) {
        if (bits == 0 || cycles < 2 * bits)
            throw std::invalid_argument("a bit takes at least two cycles");
        const uint64_t divisor = std::gcd(cycles, bits);
        numerator = cycles / divisor;
        denominator = bits / divisor;
    }
};

// Sends bytes in order. A byte starts in the first cycle in which the line is free; one that was
// there before the stop bit of the byte before it was over starts where that ends, to the fraction
// of a cycle.
class Sender {
public:
    explicit Sender(BitTime bit) : bit_(bit) {}

    void push(uint8_t byte) { waiting_.push_back(byte); }

    // Return what is on the pin in a cycle. Call it once a cycle, in order.
    bool level(uint64_t cycle) {
        const uint64_t now = cycle * bit_.denominator;
        if (now >= next_change_) advance(now);
        return level_;
    }

    // Whether nothing is on the line, nor waits for it: as of the last call of level.
    bool idle() const { return !busy_ && waiting_.empty(); }

    // Bytes that have not started.
    size_t waiting() const { return waiting_.size(); }

    // Whether the line becomes free in this cycle, or before it, and nothing waits for it. A byte
    // that is pushed now still starts exactly where the one before ends.
    bool ends(uint64_t cycle) const {
        return busy_ && waiting_.empty() &&
               cycle * bit_.denominator >= start_ + BITS * bit_.numerator;
    }

    // Drop the bytes that have not started.
    void forget() { waiting_.clear(); }

private:
    void advance(uint64_t now) {
        if (busy_ && now >= start_ + BITS * bit_.numerator) {
            busy_ = false;
            free_ = start_ + BITS * bit_.numerator;
        }
        if (!busy_) {
            level_ = true;
            next_change_ = 0;
            if (waiting_.empty()) return;
            start_ = now - free_ < bit_.denominator ? free_ : now;
            frame_ = 1u << 9 | static_cast<unsigned>(waiting_.front()) << 1;
            waiting_.pop_front();
            busy_ = true;
        }
        const uint64_t place = (now - start_) / bit_.numerator;
        level_ = frame_ >> place & 1;
        next_change_ = start_ + (place + 1) * bit_.numerator;
    }

    BitTime bit_;
    std::deque<uint8_t> waiting_;
    bool busy_ = false, level_ = true;
    unsigned frame_ = 0;         // start bit lowest
    uint64_t start_ = 0;         // of the byte on the line
    uint64_t free_ = 0;          // when the line last became free
    uint64_t next_change_ = 0;   // when the next bit starts; 0 on an idle line
};

// Receives bytes: a bit is what the line shows in the first cycle that is not before its middle. A
// start bit that is over by then was noise; a byte whose stop bit is low is dropped, and the line
// must go high before another one starts.
class Receiver {
public:
    explicit Receiver(BitTime bit) : bit_(bit) {}

    // Take what is on the pin in a cycle; return the byte that is complete with it. Call it once a
    // cycle, in order.
    std::optional<uint8_t> take(bool level, uint64_t cycle) {
        if (place_ == IDLE) {
            if (!level) begin(cycle);
            return std::nullopt;
        }
        if (place_ == RELEASE) {
            if (level) place_ = IDLE;
            return std::nullopt;
        }
        if (2 * cycle * bit_.denominator < middle_) return std::nullopt;
        middle_ += 2 * bit_.numerator;
        if (place_ == 0) {
            place_ = level ? IDLE : 1;
            return std::nullopt;
        }
        if (place_ < STOP) {
            byte_ = static_cast<uint8_t>(byte_ >> 1 | level << 7);
            ++place_;
            return std::nullopt;
        }
        place_ = level ? IDLE : RELEASE;
        if (level) return byte_;
        ++dropped_;
        return std::nullopt;
    }

    // Whether no byte is under way, nor the line held low.
    bool idle() const { return place_ == IDLE; }

    // Bytes without a stop bit.
    uint64_t dropped() const { return dropped_; }

private:
    static constexpr int STOP = 9, RELEASE = 10, IDLE = -1;

    void begin(uint64_t cycle) {
        place_ = 0;
        middle_ = 2 * cycle * bit_.denominator + bit_.numerator;
    }

    BitTime bit_;
    int place_ = IDLE;     // number of the bit that comes next, the start bit's is 0
    uint8_t byte_ = 0;
    uint64_t middle_ = 0;  // of that bit, in halves
    uint64_t dropped_ = 0;
};

}  // namespace uart

#endif
