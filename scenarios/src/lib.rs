//! The scenario engine: topology, load, faults and expectations from one file.
