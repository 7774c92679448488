int perdure_placeholder(void);
