// Runs a chip on its board, and speaks to it through its serial pins.
//
// chip PLL_NUMERATOR PLL_DENOMINATOR BIT_NUMERATOR BIT_DENOMINATOR LIMIT
//
// The core's clock has PLL_NUMERATOR/PLL_DENOMINATOR times the oscillator's frequency, a bit of the
// line takes BIT_NUMERATOR/BIT_DENOMINATOR cycles of the oscillator; all are exact. Each line of
// standard input is a request in hexadecimal; each is answered by a line with the reply, which ends
// with the second END byte, and the oscillator's cycle. After LIMIT cycles beyond the request the
// reply is what came until then.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "Vchip.h"
#include "uart_pins.h"
#include "verilated.h"

namespace {
const int END = 0xC0;
const uint64_t WARM_UP = 4096;  // cycles from power-up to the first request

class Board {
public:
  Board(uint64_t numerator, uint64_t denominator, uart::BitTime bit)
      : to_chip(bit), from_chip(bit), oscillator_half_(numerator), core_half_(denominator),
        oscillator_next_(numerator), core_next_(denominator) {
    chip_->clock = 0;
    chip_->pll_clock = 0;
    chip_->rx = 1;
    chip_->eval();
  }

  // Go on to the oscillator's next rising edge; return the byte that is complete with it.
  std::optional<uint8_t> step() {
    chip_->rx = to_chip.level(cycle);
    while (!edge()) {
    }
    ++cycle;
    return from_chip.take(chip_->tx, cycle);
  }

  uint64_t cycle = 0;
  uart::Sender to_chip;
  uart::Receiver from_chip;

private:
  // Go on to the next edge of either clock; return whether it is the oscillator's rising one.
  bool edge() {
    const uint64_t now = std::min(oscillator_next_, core_next_);
    bool rising = false;
    if (core_next_ == now) {
      chip_->pll_clock = !chip_->pll_clock;
      core_next_ += core_half_;
    }
    if (oscillator_next_ == now) {
      chip_->clock = !chip_->clock;
      oscillator_next_ += oscillator_half_;
      rising = chip_->clock;
    }
    chip_->eval();
    return rising;
  }

  std::unique_ptr<Vchip> chip_{new Vchip};
  uint64_t oscillator_half_, core_half_;  // in ticks of their common grid
  uint64_t oscillator_next_, core_next_;
};

std::string exchange(Board& board, uint64_t limit) {
  static const char digits[] = "0123456789abcdef";
  std::string reply;
  uint64_t end = 0;
  for (int ends = 0; ends < 2 && (end == 0 || board.cycle < end);) {
    const std::optional<uint8_t> byte = board.step();
    if (end == 0 && board.to_chip.idle()) end = board.cycle + limit;
    if (!byte) continue;
    reply += digits[*byte >> 4];
    reply += digits[*byte & 15];
    ends += *byte == END;
  }
  return reply;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  uint64_t number[5];
  for (int i = 0; i < 5; ++i) number[i] = std::strtoull(argv[i + 1], nullptr, 10);
  const uart::BitTime bit(number[2], number[3]);
  Board board(number[0], number[1], bit);
  for (uint64_t i = 0; i < WARM_UP; ++i) board.step();
  std::string text;
  while (std::getline(std::cin, text)) {
    for (size_t i = 0; i + 1 < text.size(); i += 2)
      board.to_chip.push(std::stoi(text.substr(i, 2), nullptr, 16));
    const std::string reply = exchange(board, number[4]);
    std::cout << reply << " " << board.cycle << std::endl;
    for (uint64_t i = 0; i < 3 * bit.numerator / bit.denominator; ++i) board.step();  // a rest
  }
  return 0;
}
