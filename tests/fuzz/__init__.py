"""Bad input by the thousand: what is read is mutated, and every case has to end soon, in words, and within its project."""
