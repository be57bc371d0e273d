// What the kernel runs on: the instruction set in use, and how many threads.
//
// Answers are the same, bit for bit, whatever either of them is.
#pragma once

namespace sidereal {

// The name of the instruction set that was chosen for this process.
const char* isa();

// How many threads the large passes may use; throws std::invalid_argument unless 1 <= n <= 256.
void set_threads(int n);
int threads();

}  // namespace sidereal
