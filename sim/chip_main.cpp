// Runs a chip read back from its bitstream, and speaks to it through its serial pins.
//
// chip PLL_NUMERATOR PLL_DENOMINATOR BIT_NUMERATOR BIT_DENOMINATOR LIMIT
//
// The core's clock has PLL_NUMERATOR/PLL_DENOMINATOR times the oscillator's frequency, a bit of the
// line takes BIT_NUMERATOR/BIT_DENOMINATOR cycles of the oscillator; all are exact. Each line of
// standard input is a request in hexadecimal; each is answered by a line with the reply, which ends
// with the second END byte, and the oscillator's cycle. After LIMIT cycles beyond the request the
// reply is what came until then.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "Vchip.h"
#include "verilated.h"

namespace {
const int END = 0xC0;
const uint64_t WARM_UP = 4096;  // cycles from power-up to the first request

struct Board {
  std::unique_ptr<Vchip> chip{new Vchip};
  uint64_t oscillator_half, core_half;  // in ticks of their common grid
  uint64_t oscillator_next, core_next;
  uint64_t cycle = 0;

  Board(uint64_t numerator, uint64_t denominator)
      : oscillator_half(numerator), core_half(denominator),
        oscillator_next(numerator), core_next(denominator) {
    chip->clock = 0;
    chip->pll_clock = 0;
    chip->rx = 1;
    chip->eval();
  }

  // Go on to the oscillator's next rising edge.
  void step() {
    for (;;) {
      const uint64_t now = std::min(oscillator_next, core_next);
      bool rising = false;
      if (core_next == now) {
        chip->pll_clock = !chip->pll_clock;
        core_next += core_half;
      }
      if (oscillator_next == now) {
        chip->clock = !chip->clock;
        oscillator_next += oscillator_half;
        rising = chip->clock;
      }
      chip->eval();
      if (rising) {
        ++cycle;
        return;
      }
    }
  }
};

struct Line {
  uint64_t numerator, denominator;
  // Bits of ten a byte that have passed in so many cycles.
  uint64_t bits(uint64_t cycles) const { return cycles * denominator / numerator; }
};

std::string exchange(Board& board, const Line& line, const std::vector<int>& request,
                     uint64_t limit) {
  static const char digits[] = "0123456789abcdef";
  std::string reply;
  const uint64_t begin = board.cycle, sent = request.size() * 10;
  const uint64_t end = begin + sent * line.numerator / line.denominator + limit;
  uint64_t start = 0;  // of the byte that comes in
  int byte = 0, count = 0, ends = 0, before = board.chip->tx;
  bool receiving = false;
  while (board.cycle < end && ends < 2) {
    const uint64_t at = line.bits(board.cycle - begin);
    int level = 1;
    if (at < sent) {
      const int place = at % 10;
      level = place == 0 ? 0 : place == 9 ? 1 : request[at / 10] >> (place - 1) & 1;
    }
    board.chip->rx = level;
    board.step();
    const int now = board.chip->tx;
    if (!receiving && before && !now) {
      receiving = true;
      start = board.cycle;
      byte = count = 0;
    } else if (receiving) {
      // Sample in the middle of each bit.
      const uint64_t halves = 2 * (board.cycle - start) * line.denominator / line.numerator;
      if (count < 9 && halves >= 3 + 2 * static_cast<uint64_t>(count)) {
        if (count < 8) {
          byte |= now << count;
        } else if (now) {  // a byte without its stop bit never was
          reply += digits[byte >> 4];
          reply += digits[byte & 15];
          ends += byte == END;
        }
        if (++count == 9) receiving = false;
      }
    }
    before = now;
  }
  return reply;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  uint64_t number[5];
  for (int i = 0; i < 5; ++i) number[i] = std::strtoull(argv[i + 1], nullptr, 10);
  Board board(number[0], number[1]);
  const Line line{number[2], number[3]};
  for (uint64_t i = 0; i < WARM_UP; ++i) board.step();
  std::string text;
  while (std::getline(std::cin, text)) {
    std::vector<int> request;
    for (size_t i = 0; i + 1 < text.size(); i += 2)
      request.push_back(std::stoi(text.substr(i, 2), nullptr, 16));
    const std::string reply = exchange(board, line, request, number[4]);
    std::cout << reply << " " << board.cycle << std::endl;
    const uint64_t pause = 3 * line.numerator / line.denominator;  // the line rests
    board.chip->rx = 1;
    for (uint64_t i = 0; i < pause; ++i) board.step();
  }
  return 0;
}
