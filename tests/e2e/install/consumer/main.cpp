// Ten lines that use the library: the reference network's size.
#include <iostream>

#include "trainmark/models.hpp"

int main() {
  const trainmark::Graph graph = trainmark::training_graph(trainmark::CosmoflowOptions{}, {});
  std::cout << graph.parameter_elements() << " parameters\n";
}
