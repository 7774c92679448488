int perdure_placeholder(void) { return 0; }
