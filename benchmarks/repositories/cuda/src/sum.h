/* The sum of squares of n floats on the device; 0 where it went well. */
int sum_of_squares(const float *values, int n, float *result);
