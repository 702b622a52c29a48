import java.io.BufferedReader;
import java.io.InputStreamReader;

/** Verifies the tokens on its standard input, one a line. Arguments: the URL of Tenantry, a project's id. */
public final class VerifyToken {
    public static void main(String[] arguments) throws Exception {
        TokenVerifier verifier = new TokenVerifier(arguments[0], arguments[1]);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String token = input.readLine(); token != null; token = input.readLine()) {
            try {
                System.out.println("valid: " + verifier.verify(token).getSubject());
            } catch (Exception error) {
                System.out.println("rejected: " + error.getMessage());
            }
        }
    }
}
