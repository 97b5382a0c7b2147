//! What holds for every infrastructure, tried on random ones.
