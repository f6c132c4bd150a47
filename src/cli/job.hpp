// The job that this process belongs to, as batch system and launcher tell it.
#pragma once

#include <string>

#include "trainmark/run.hpp"

namespace trainmark::cli {

/// To be asked before MPI starts, which sets some of these variables itself.
[[nodiscard]] JobFacts job_facts();
/// The batch system's name of the job, fit for a folder's name; a task of an array and a restart have names of their
/// own. Empty outside of a job.
[[nodiscard]] std::string name_of(const JobFacts& facts);

}  // namespace trainmark::cli
