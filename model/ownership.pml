/* The ownership protocol of a world in several processes, as an explicit-state model.
 *
 * One source; a scenario is a set of bounds (how many crossings, breaks, crashes, ...) that
 * check.py passes in the environment, and a mutant is one number there. README.md says what is
 * modelled and what is not. Every action is one atomic step of one process; what a process
 * knows of another came by message.
 */
#include "state.pml"
#include "invariants.pml"
#include "journal.pml"
#include "decisions.pml"
#include "leader.pml"
#include "shard.pml"
#include "world.pml"
