//! Routing, balancing, breaking and admission decisions of a node; pure.
